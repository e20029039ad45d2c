/** The attributes of Python's own types, nearly all of them methods. */
import { indexOf, isInt, isText, iterate, textOf, typeName } from "./basics.ts";
import { equal } from "./compare.ts";
import { TemplateError } from "./errors.ts";
import { spendItems, spendText } from "./limits.ts";
import { join, type Method, replace, SEARCHES } from "./strings.ts";
import { CASES } from "./strings_case.ts";
import { escapeHtml, str } from "./text.ts";
import { type Args, Dict, Float, Fn, Markup, NONE, Range, Tuple, Undefined, type Value, View } from "./values.ts";

const STRINGS: Readonly<Record<string, Method>> = { ...SEARCHES, ...CASES };
/** Methods that would change a value: the sandbox refuses them. */
const DICT_CHANGES = ["clear", "pop", "popitem", "setdefault", "update"];
const LIST_CHANGES = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];

type Maker<T> = Readonly<Record<string, (value: T, args: Args, name: string) => Value>>;

const DICTS: Maker<Dict> = {
  get: (dict, args, name) => {
    const [key, missing = NONE] = args.take(name, ["key", "default"], 1);
    return dict.get(key!) ?? missing;
  },
  items: (dict, args, name) => view(dict, args, name),
  keys: (dict, args, name) => view(dict, args, name),
  values: (dict, args, name) => view(dict, args, name),
  copy: (dict, args, name) => {
    args.take(name, []);
    return new Dict(dict.entries());
  },
  fromkeys: (_, args, name) => fromKeys(args, name),
};

function view(dict: Dict, args: Args, name: string): View {
  args.take(name, []);
  return new View(dict, name as View["kind"]);
}

/** Python's dict.fromkeys. */
export function fromKeys(args: Args, name: string): Dict {
  const [keys, value = NONE] = args.take(name, ["iterable", "value"], 1);
  return new Dict(Array.from(iterate(keys!), (key) => [key, value] as const));
}

const SEQUENCES: Maker<readonly Value[]> = {
  count: (items, args, name) => {
    const [wanted] = args.take(name, ["value"], 1);
    spendItems(items.length);
    return items.filter((item) => equal(item, wanted!)).length;
  },
  index: (items, args, name) => {
    const [wanted, start = 0, stop = items.length] = args.take(name, ["value", "start", "stop"], 1);
    spendItems(items.length);
    const part = items.slice(0, indexOf(stop, "index()"));
    const first = indexOf(start, "index()");
    const from = first < 0 ? Math.max(0, first + items.length) : first;
    const at = part.findIndex((item, i) => i >= from && equal(item, wanted!));
    if (at < 0) throw new TemplateError("the value is not in the list");
    return at;
  },
};

const FLOATS: Maker<Float> = {
  is_integer: (float) => Number.isInteger(float.value),
  conjugate: (float) => float,
};
const INTS: Maker<number | bigint> = {
  bit_length: (int) => (int === 0 ? 0 : BigInt(int).toString(2).replace("-", "").length),
  bit_count: (int) => BigInt(int).toString(2).replaceAll(/[^1]/g, "").length,
  conjugate: (int) => int,
};

/** undefined where the type has no such attribute. */
export function methodOf(value: Value, name: string): Value | undefined {
  if (isText(value)) return stringMethod(value, name);
  if (value instanceof Dict) {
    return DICT_CHANGES.includes(name) ? refused(value, name) : method(DICTS, value, name);
  }
  if (Array.isArray(value)) {
    if (LIST_CHANGES.includes(name)) return refused(value, name);
    return name === "copy" ? new Fn(name, () => [...value]) : method(SEQUENCES, value, name);
  }
  if (value instanceof Tuple) return method(SEQUENCES, value.items, name);
  if (value instanceof Range) {
    if (name === "start" || name === "stop" || name === "step") return value[name];
    return method(SEQUENCES, [...value], name);
  }
  if (value instanceof Float) {
    return name === "real" ? value : name === "imag" ? new Float(0) : method(FLOATS, value, name);
  }
  if (!isInt(value)) return undefined;
  if (name === "real" || name === "numerator") return value;
  if (name === "imag") return 0;
  return name === "denominator" ? 1 : method(INTS, value, name);
}

function method<T>(methods: Maker<T>, value: T, name: string): Fn | undefined {
  if (!Object.hasOwn(methods, name)) return undefined;
  return new Fn(name, (args) => methods[name]!(value, args, name));
}

function refused(value: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe`);
}

function stringMethod(value: string | Markup, name: string): Fn | undefined {
  if (name === "encode") {
    return new Fn(name, () => {
      throw new TemplateError("str.encode is not supported: templates have no bytes");
    });
  }
  if (!Object.hasOwn(STRINGS, name)) return undefined;
  const run = STRINGS[name]!;
  const text = textOf(value);
  return new Fn(name, (args) => {
    spendText(text.length);
    return typeof value === "string" ? run(value, args, name) : markupMethod(text, run, args, name);
  });
}

/** Markup escapes its arguments, and its results are markup. */
function markupMethod(text: string, run: Method, args: Args, name: string): Value {
  if (name === "join") return new Markup(join(text, Array.from(iterate(args.list[0] ?? NONE), escapeHtml)));
  if (name === "replace" && args.list.length > 1) {
    const [old, fresh, most = -1] = args.list;
    return new Markup(replace(text, str(old!), escapeHtml(fresh!).text, indexOf(most, "replace()")));
  }
  return marked(run(text, args, name));
}

function marked(result: Value): Value {
  if (typeof result === "string") return new Markup(result);
  if (Array.isArray(result)) return result.map(marked);
  return result instanceof Tuple ? new Tuple(result.items.map(marked)) : result;
}

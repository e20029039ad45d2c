/** Jinja's filters on sequences, mappings and anything. filters_text.ts has those on texts and numbers. */
import {
  describe,
  indexOf,
  isText,
  isTrue,
  iterableOf,
  iterate,
  lengthOf,
  stringOf,
  textOf,
  typeName,
} from "./basics.ts";
import { compareValues } from "./compare.ts";
import { TemplateError } from "./errors.ts";
import type { Filter, Library } from "./evaluate.ts";
import { TEXT_FILTERS } from "./filters_text.ts";
import { spend, spendItems } from "./limits.ts";
import { attributeOf, getItem } from "./lookup.ts";
import { binary } from "./operators.ts";
import { join } from "./strings.ts";
import { repr, str } from "./text.ts";
import { Args, Dict, Iter, NONE, Range, Tuple, Undefined, type Value, View } from "./values.ts";

type Getter = (value: Value) => Value;

/** Text without regard to case. */
const ignoreCase = (value: Value) => (isText(value) ? textOf(value).toLowerCase() : value);

/** What `attribute` names in a value: a key, an index, or several with dots between; the value itself without one. */
function getter(attribute: Value | undefined, after: Getter = (value) => value, missing: Value = NONE): Getter {
  if (attribute === undefined || attribute === NONE) return after;
  const parts = typeof attribute === "string" ? attribute.split(".").map(part) : [attribute];
  return (value) => {
    for (const key of parts) {
      value = getItem(value, key);
      if (value instanceof Undefined && missing !== NONE) value = missing;
    }
    return after(value);
  };
}

const part = (text: string) => (/^\d+$/.test(text) ? Number(text) : text);

/** The same for "a,b": a list of what each names. */
function manyGetter(attribute: Value | undefined, after: Getter): Getter {
  if (typeof attribute !== "string" || !attribute.includes(",")) {
    const one = getter(attribute, after);
    return (value) => [one(value)];
  }
  const all = attribute.split(",").map((name) => getter(name, after));
  return (value) => all.map((one) => one(value));
}

function sorted(values: Iterable<Value>, key: Getter, reverse: boolean): Value[] {
  const keyed = Array.from(values, (value) => [key(value), value] as const);
  spendItems(keyed.length);
  keyed.sort(([a], [b]) => (reverse ? compareValues(b, a) : compareValues(a, b)));
  return keyed.map(([, value]) => value);
}

const foldCase = (sensitive: Value | undefined): Getter => (isTrue(sensitive ?? false) ? (value) => value : ignoreCase);

/** min (sign -1) and max (sign 1). */
const extreme = (sign: number, name: string): Filter => {
  return (value, args) => {
    const [sensitive, attribute] = args.take(name, ["case_sensitive", "attribute"]);
    const key = getter(attribute, foldCase(sensitive));
    let best: Value | undefined;
    for (const item of iterate(value)) {
      if (best === undefined || compareValues(key(item), key(best)) * sign > 0) best = item;
    }
    return best ?? new Undefined("No aggregated item, sequence was empty.");
  };
};

/** select, reject, selectattr, rejectattr. */
const chooser = (wanted: boolean, byAttribute: boolean): Filter => {
  return (value, { list, named }, library) => {
    if (!isTrue(value)) return new Iter([]);
    const [attribute, rest] = byAttribute ? [list[0], list.slice(1)] : [undefined, list];
    if (byAttribute && attribute === undefined) throw new TemplateError("Missing parameter for attribute name");
    const test = tester(rest, named, library);
    const get = getter(attribute);
    return new Iter(chosen(iterate(value), (item) => test(get(item)) === wanted));
  };
};

function* chosen(values: Iterable<Value>, fits: (value: Value) => boolean): Generator<Value> {
  for (const value of values) {
    spend();
    if (fits(value)) yield value;
  }
}

/** A test by its name and arguments; whether a value is true, where none is named. */
function tester(list: Value[], named: Map<string, Value>, library: Library): (value: Value) => boolean {
  if (list.length === 0) return isTrue;
  const [name, ...rest] = list;
  const test = library.tests.get(stringOf(name!, "test"));
  if (!test) throw new TemplateError(`no test named '${str(name!)}'`);
  return (value) => test(value, new Args(rest, named), library);
}

const map: Filter = (value, { list, named }, library) => {
  if (!isTrue(value)) return new Iter([]);
  if (list.length === 0 && named.has("attribute")) {
    const [attribute, missing] = new Args([], named).take("map", ["attribute", "default"]);
    return new Iter(mapped(iterate(value), getter(attribute, undefined, missing)));
  }
  const [name, ...rest] = list;
  if (name === undefined) throw new TemplateError("map requires a filter argument");
  const filter = library.filters.get(stringOf(name, "map"));
  if (!filter) throw new TemplateError(`no filter named '${str(name)}'`);
  return new Iter(mapped(iterate(value), (item) => filter(item, new Args(rest, named), library)));
};

function* mapped(values: Iterable<Value>, to: Getter): Generator<Value> {
  for (const value of values) {
    spend();
    yield to(value);
  }
}

function* unique(values: Iterable<Value>, key: Getter): Generator<Value> {
  const seen = new Dict();
  for (const value of values) {
    spend();
    const found = key(value);
    if (seen.get(found) !== undefined) continue;
    seen.set(found, true);
    yield value;
  }
}

const groupBy: Filter = (value, args) => {
  const [attribute, missing, sensitive] = args.take("groupby", ["attribute", "default", "case_sensitive"], 1);
  const key = getter(attribute, foldCase(sensitive), missing);
  const real = getter(attribute, undefined, missing);
  const groups: Value[][] = [];
  for (const item of sorted(iterate(value), key, false)) {
    const group = groups.at(-1);
    if (group && compareValues(key(group[0]!), key(item)) === 0) group.push(item);
    else groups.push([item]);
  }
  return groups.map((group) => new Tuple([real(group[0]!), group], ["grouper", "list"]));
};

function* batches(values: Iterable<Value>, size: number, filler: Value): Generator<Value> {
  let batch: Value[] = [];
  for (const value of values) {
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
    batch.push(value);
  }
  if (batch.length === 0) return;
  if (filler !== NONE) while (batch.length < size) batch.push(filler);
  yield batch;
}

function* slices(values: readonly Value[], count: number, filler: Value): Generator<Value> {
  const [each, extra] = [Math.floor(values.length / count), values.length % count];
  let start = 0;
  for (let i = 0; i < count; i++) {
    const end = start + each + (i < extra ? 1 : 0);
    const slice = values.slice(start, end);
    if (filler !== NONE && i >= extra) slice.push(filler);
    yield slice;
    start = end;
  }
}

const reverse: Filter = (value) => {
  if (isText(value)) return [...textOf(value)].reverse().join("");
  if (value instanceof Iter) return [...value].reverse();
  return new Iter(reversed(value, "argument must be iterable"));
};

function reversed(value: Value, message: string): Value[] {
  const isSequence =
    Array.isArray(value) || [Tuple, Dict, View, Range, Undefined].some((type) => value instanceof type);
  if (!isSequence && !isText(value)) throw new TemplateError(message);
  return [...iterate(value)].reverse();
}

const sum: Filter = (value, args) => {
  const [attribute, start = 0] = args.take("sum", ["attribute", "start"]);
  const get = getter(attribute);
  let total = start;
  for (const item of iterate(value)) total = binary("+", total, get(item));
  return total;
};

const OTHERS: Readonly<Record<string, Filter>> = {
  default: (value, args) => {
    const [missing = "", boolean = false] = args.take("default", ["default_value", "boolean"]);
    return value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? missing : value;
  },
  length: (value) => {
    const length = lengthOf(value);
    if (length === undefined) throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
    return length;
  },
  list: (value) => {
    const items = [...iterate(value)];
    spendItems(items.length);
    return items;
  },
  first: (value) => {
    for (const item of iterate(value)) return item;
    return new Undefined("No first item, sequence was empty.");
  },
  last: (value) => {
    const [last] = reversed(value, `'${typeName(value)}' object is not reversible`);
    return last ?? new Undefined("No last item, sequence was empty.");
  },
  join: (value, args) => {
    const [separator = "", attribute] = args.take("join", ["d", "attribute"]);
    const get = getter(attribute);
    return join(
      str(separator),
      Array.from(iterate(value), (item) => str(get(item))),
    );
  },
  map,
  select: chooser(true, false),
  reject: chooser(false, false),
  selectattr: chooser(true, true),
  rejectattr: chooser(false, true),
  min: extreme(-1, "min"),
  max: extreme(1, "max"),
  sum,
  sort: (value, args) => {
    const [backwards = false, sensitive, attribute] = args.take("sort", ["reverse", "case_sensitive", "attribute"]);
    return sorted(iterate(value), manyGetter(attribute, foldCase(sensitive)), isTrue(backwards));
  },
  dictsort: (value, args) => {
    const [sensitive, by = "key", backwards = false] = args.take("dictsort", ["case_sensitive", "by", "reverse"]);
    if (by !== "key" && by !== "value") throw new TemplateError('You can only sort by either "key" or "value"');
    if (!(value instanceof Dict)) throw new TemplateError(`${describe(value)} has no attribute 'items'`);
    const fold = foldCase(sensitive);
    const key = (item: Value) => fold((item as Tuple).items[by === "key" ? 0 : 1]!);
    return sorted(new View(value, "items"), key, isTrue(backwards));
  },
  unique: (value, args) => {
    const [sensitive, attribute] = args.take("unique", ["case_sensitive", "attribute"]);
    return new Iter(unique(iterate(value), getter(attribute, foldCase(sensitive))));
  },
  groupby: groupBy,
  batch: (value, args) => {
    const [size, filler = NONE] = args.take("batch", ["linecount", "fill_with"], 1);
    const count = indexOf(size!, "batch");
    spendItems(count);
    return new Iter(batches(iterate(value), count, filler));
  },
  slice: (value, args) => {
    const [count, filler = NONE] = args.take("slice", ["slices", "fill_with"], 1);
    const number = indexOf(count!, "slice");
    spendItems(number);
    if (number === 0) throw new TemplateError("integer division or modulo by zero");
    return new Iter(slices([...iterate(value)], number, filler));
  },
  reverse,
  items: (value) => {
    if (value instanceof Undefined) return new Iter([]);
    if (!(value instanceof Dict)) throw new TemplateError("Can only get item pairs from a mapping.");
    return new Iter(new View(value, "items"));
  },
  attr: (value, args) => {
    const name = str(args.take("attr", ["name"], 1)[0]!);
    if (value instanceof Undefined) value.fail();
    return attributeOf(value, name) ?? new Undefined(`${describe(value)} has no attribute '${name}'`);
  },
  pprint: (value) => {
    const text = repr(value);
    if (iterableOf(value) !== undefined && text.length > 80)
      throw new TemplateError("pprint is not supported for more than one line");
    return text;
  },
};

/** Filters of Jinja that depend on chance, or that chat templates have no use for. */
const UNSUPPORTED = ["random", "urlize", "wordwrap"];

const refuse = (name: string): Filter => {
  return () => {
    throw new TemplateError(`the filter '${name}' is not supported`);
  };
};

/** Filters on sequences, mappings and any value, by name. */
export const FILTERS: ReadonlyMap<string, Filter> = new Map([
  ...Object.entries(TEXT_FILTERS),
  ...Object.entries(OTHERS),
  ["count", OTHERS.length!] as const,
  ["d", OTHERS.default!] as const,
  ...UNSUPPORTED.map((name) => [name, refuse(name)] as const),
]);

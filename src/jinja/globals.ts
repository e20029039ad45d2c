/** The functions that every template can call. */
import { indexOf, iterate } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { spendItems } from "./limits.ts";
import { fromKeys } from "./methods.ts";
import { str } from "./text.ts";
import { Cycler, Joiner, Namespace } from "./things.ts";
import { type Args, Dict, Fn, Range, Thing, Tuple, type Value } from "./values.ts";

/** The sandbox's longest range. */
const MOST_NUMBERS = 100_000;

function range(args: Args): Range {
  const bounds = args.take("range", ["start", "stop", "step"], 1).map((bound) => {
    return bound === undefined ? undefined : indexOf(bound, "range()");
  });
  const [start, stop, step = 1] = bounds;
  if (step === 0) throw new TemplateError("range() arg 3 must not be zero");
  const result = stop === undefined ? new Range(0, start!, 1) : new Range(start!, stop, step);
  if (result.length <= MOST_NUMBERS) return result;
  throw new TemplateError(`range(): expected at most ${MOST_NUMBERS} numbers, found ${result.length}`);
}

/** Python's dict(): pairs or a mapping, and what is named. */
function dict({ list, named }: Args): Dict {
  const [from] = list;
  if (list.length > 1) throw new TemplateError(`dict expected at most 1 argument, got ${list.length}`);
  const result = new Dict(from === undefined ? [] : from instanceof Dict ? from.entries() : pairs(from));
  for (const [name, value] of named) result.set(name, value);
  spendItems(result.size);
  return result;
}

function* pairs(values: Value): Generator<readonly [Value, Value]> {
  for (const pair of iterate(values)) {
    const [key, value, ...more] = pair instanceof Tuple ? pair.items : iterate(pair);
    if (key === undefined || value === undefined || more.length) throw new TemplateError("dict() expected pairs");
    yield [key, value];
  }
}

/** `dict`, which can be called and has `fromkeys`. */
class DictType extends Thing {
  readonly type = "TemplateDict";

  attribute(name: string): Value | undefined {
    return name === "fromkeys" ? new Fn(name, (args) => fromKeys(args, name)) : undefined;
  }

  override call(args: Args): Value {
    return dict(args);
  }
}

/** The global functions by name, new for every rendering. */
export function globals(): Map<string, Value> {
  const functions: Record<string, (args: Args) => Value> = {
    range,
    namespace: (args) => {
      const result = new Namespace();
      for (const [name, value] of dict(args).entries()) result.set(str(name), value);
      return result;
    },
    cycler: ({ list }) => new Cycler(list),
    joiner: (args) => new Joiner(args.take("joiner", ["sep"])[0] ?? ", "),
    lipsum: () => {
      throw new TemplateError("lipsum() is not supported");
    },
  };
  const all = Object.entries(functions).map(([name, call]) => [name, new Fn(name, call)] as [string, Value]);
  return new Map([...all, ["dict", new DictType()]]);
}

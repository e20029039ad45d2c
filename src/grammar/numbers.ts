/** Numbers between bounds, as JSON writes them, without an exponent. */
import { setOf } from "./code_points.ts";
import { choice, EMPTY, type Expression, isNever, literal, NEVER, oneOf, repeat, sequence } from "./expression.ts";

/** Digits that a double tells apart wherever they stand. */
const DIGITS = 15;
/** Of whole numbers without a bound. */
const MOST_DIGITS = 16;

/** Bounds of numbers; ±Infinity: none. `above`, `below`: the bound itself is out. */
export interface Bounds {
  readonly least: number;
  readonly most: number;
  readonly above: boolean;
  readonly below: boolean;
}

/** Whole numbers within bounds; undefined if those have too many digits. */
export function integersWithin({ least, most, above, below }: Bounds): Expression | undefined {
  const from = above && Number.isInteger(least) ? least + 1 : Math.ceil(least);
  const to = below && Number.isInteger(most) ? most - 1 : Math.floor(most);
  const exact = (bound: number) => Math.abs(bound) === Infinity || Number.isSafeInteger(bound);
  if (!exact(from) || !exact(to)) return undefined;
  const positive = wholes(Math.max(0, from), to);
  const negative = wholes(Math.max(1, -to), -from);
  return choice(positive, isNever(negative) ? NEVER : sequence(literal("-"), negative));
}

/** Numbers within bounds; undefined if those have too many digits. */
export function numbersWithin({ least, most, above, below }: Bounds): Expression | undefined {
  const [low, high] = [decimal(least), decimal(most)];
  if (!low || !high) return undefined;
  const places = Math.max(1, DIGITS - Math.max(low.whole.length, high.whole.length));
  const from = { ...(least < 0 ? ZERO : low), out: least >= 0 && above };
  const to = { ...high, out: below };
  const positive = most < 0 ? NEVER : decimals(from, to, places);
  // "-0" is 0, and written without a sign.
  const near = most >= 0 ? { ...ZERO, out: true } : { ...high, out: below };
  const negative = least >= 0 ? NEVER : decimals(near, { ...low, out: above }, places);
  return choice(positive, isNever(negative) ? NEVER : sequence(literal("-"), negative));
}

/** The size of a number in digits; the whole part is "" for Infinity. */
interface Decimal {
  readonly whole: string;
  /** Without zeros at the end. */
  readonly fraction: string;
}

interface Bound extends Decimal {
  readonly out: boolean;
}

const ZERO: Decimal = { whole: "0", fraction: "" };

/** undefined: more digits than are told apart. */
function decimal(value: number): Decimal | undefined {
  if (Math.abs(value) === Infinity) return { whole: "", fraction: "" };
  const [, whole = "0", fraction = "", exponent = "0"] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(`${value}`) ?? [];
  const shift = Number(exponent);
  const digits = whole + fraction;
  const point = whole.length + shift;
  if (digits.length > DIGITS || point > DIGITS - 1 || point < -DIGITS) return undefined;
  const padded = point > 0 ? digits.padEnd(point, "0") : "0".repeat(1 - point) + digits;
  const at = Math.max(1, point);
  const part = padded.slice(at).replace(/0+$/, "");
  return part.length > DIGITS - 1 ? undefined : { whole: padded.slice(0, at), fraction: part };
}

/** Numbers of at least 0 between two bounds. */
function decimals(low: Bound, high: Bound, places: number): Expression {
  const any = fraction(between("", false, undefined, false, places));
  const from = Number(low.whole);
  if (high.whole !== "" && from > Number(high.whole)) return NEVER;
  if (low.whole === high.whole) {
    return sequence(literal(low.whole), fraction(between(low.fraction, low.out, high.fraction, high.out, places)));
  }
  const first = sequence(literal(low.whole), fraction(between(low.fraction, low.out, undefined, false, places)));
  if (high.whole === "") return choice(first, sequence(wholes(from + 1, Infinity), any));
  const last = sequence(literal(high.whole), fraction(between("", false, high.fraction, high.out, places)));
  return choice(first, sequence(wholes(from + 1, Number(high.whole) - 1), any), last);
}

/** Digits behind a point. */
interface Fractions {
  /** Whether none is among them. */
  readonly empty: boolean;
  readonly some: Expression;
}

function fraction({ empty, some }: Fractions): Expression {
  const pointed = isNever(some) ? NEVER : sequence(literal("."), some);
  return empty ? choice(EMPTY, pointed) : pointed;
}

/** At most `places` digits of a fraction from `low` to `high`, by their digits; undefined: no bound. */
function between(low: string, above: boolean, high: string | undefined, below: boolean, places: number): Fractions {
  const empty = low === "" && !above && !(high === "" && below);
  if (places === 0) return { empty, some: NEVER };
  if (low === "" && !above && high === undefined) return { empty, some: repeat(digits(0, 9), 1, places) };
  const first = Number(low[0] ?? 0);
  const last = high === undefined ? 10 : Number(high[0] ?? 0);
  const rest = places - 1;
  const then = (value: number, fractions: Fractions) => {
    const after = fractions.empty ? choice(EMPTY, fractions.some) : fractions.some;
    return isNever(after) ? NEVER : sequence(digits(value, value), after);
  };
  const [lowRest, highRest] = [low.slice(1), high?.slice(1)];
  if (first > last) return { empty, some: NEVER };
  if (first === last) return { empty, some: then(first, between(lowRest, above, highRest, below, rest)) };
  const ways = [then(first, between(lowRest, above, undefined, false, rest))];
  if (first + 1 <= last - 1) ways.push(sequence(digits(first + 1, last - 1), repeat(digits(0, 9), 0, rest)));
  if (high !== undefined) ways.push(then(last, between("", false, highRest, below, rest)));
  return { empty, some: choice(...ways) };
}

/** Whole numbers from `from`, at least 0, to `to`, without a sign. */
function wholes(from: number, to: number): Expression {
  if (from > to) return NEVER;
  const ways: Expression[] = [];
  const longest = to === Infinity ? MOST_DIGITS : `${to}`.length;
  for (let length = `${from}`.length; length <= longest; length++) {
    const low = length === `${from}`.length ? `${from}` : `1${"0".repeat(length - 1)}`;
    const high = length === `${to}`.length ? `${to}` : "9".repeat(length);
    ways.push(alike(low, high));
  }
  return choice(...ways);
}

/** Digits from `low` to `high`, both equally long. */
function alike(low: string, high: string): Expression {
  if (low === "") return EMPTY;
  if (/^0*$/.test(low) && /^9*$/.test(high)) return repeat(digits(0, 9), low.length, low.length);
  const [first, last] = [Number(low[0]), Number(high[0])];
  const rest = low.length - 1;
  if (first === last) return sequence(digits(first, first), alike(low.slice(1), high.slice(1)));
  const ways = [sequence(digits(first, first), alike(low.slice(1), "9".repeat(rest)))];
  if (first + 1 <= last - 1) ways.push(sequence(digits(first + 1, last - 1), repeat(digits(0, 9), rest, rest)));
  ways.push(sequence(digits(last, last), alike("0".repeat(rest), high.slice(1))));
  return choice(...ways);
}

function digits(first: number, last: number): Expression {
  return oneOf(setOf([[0x30 + first, 0x30 + last]]));
}

/** Methods of Python's str that search, split and join. strings_case.ts has the others. */
import { indexOf, isText, isTrue, iterate, stringOf, textOf, typeName } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { spendItems, spendText } from "./limits.ts";
import { clip, isPlain, pointOf, size, sliceText } from "./points.ts";
import { skipSpaces, splitLines, stripSpaces, WORDS } from "./spaces.ts";
import { type Args, NONE, Tuple, type Value } from "./values.ts";

/** A method of str: the text, the arguments, and the method's name for errors. */
export type Method = (text: string, args: Args, name: string) => Value;

/** str.strip and its sides: of whitespace, or of every character in `chars`. */
export function strip(text: string, chars: Value, left = true, right = true): string {
  if (chars === NONE) return stripSpaces(text, left, right);
  const set = new Set(stringOf(chars, "strip()"));
  const all = isPlain(text) ? text : [...text];
  let [start, end] = [0, all.length];
  while (left && start < end && set.has(all[start]!)) start++;
  while (right && end > start && set.has(all[end - 1]!)) end--;
  return typeof all === "string" ? all.slice(start, end) : all.slice(start, end).join("");
}

const stripper = (left: boolean, right: boolean): Method => {
  return (text, args, name) => strip(text, args.take(name, ["chars"])[0] ?? NONE, left, right);
};

/** The part of a text between an optional start and end, and its start in code points. */
function window(text: string, start: Value | undefined, end: Value | undefined) {
  const at = (value: Value | undefined) =>
    value === undefined || value === NONE ? undefined : indexOf(value, "index");
  const [first, last] = [at(start), at(end)];
  if (first === undefined && last === undefined) return { part: text, first: 0 };
  const length = size(text);
  const [from, to] = clip(length, first, last, 1);
  // A start past the end finds nothing, not even "".
  if (from! > to! || (first ?? 0) > length) return { part: undefined, first: from! };
  return { part: sliceText(text, from, to), first: from! };
}

/** find, rfind, index, rindex. */
const finder = (fromRight: boolean, must: boolean): Method => {
  return (text, args, name) => {
    const [sub, start, end] = args.take(name, ["sub", "start", "end"], 1);
    const { part, first } = window(text, start, end);
    const wanted = stringOf(sub!, `${name}()`);
    const unit = part === undefined ? -1 : fromRight ? part.lastIndexOf(wanted) : part.indexOf(wanted);
    if (unit >= 0) return first + pointOf(part!, unit);
    if (must) throw new TemplateError("substring not found");
    return -1;
  };
};

/** startswith, endswith: one affix or a tuple of them. */
const tester = (fits: (text: string, affix: string) => boolean): Method => {
  return (text, args, name) => {
    const [affix, start, end] = args.take(name, ["prefix", "start", "end"], 1);
    const { part } = window(text, start, end);
    const affixes = affix instanceof Tuple ? affix.items : [affix!];
    return affixes.map((one) => stringOf(one, `${name}()`)).some((one) => part !== undefined && fits(part, one));
  };
};

/** str.count: occurrences that do not overlap. */
export function count(text: string, sub: string): number {
  if (sub === "") return size(text) + 1;
  return text.split(sub).length - 1;
}

/** Splits at most `most` times, from the left; without limit if negative. */
export function replace(text: string, old: string, fresh: string, most = -1): string {
  const times = Math.min(most < 0 ? Number.POSITIVE_INFINITY : most, count(text, old));
  spendText(text.length + times * fresh.length);
  if (times === 0) return text;
  if (old === "") {
    const all = [...text];
    const head = all.slice(0, times - 1).map((character) => fresh + character);
    return head.join("") + fresh + all.slice(times - 1).join("");
  }
  const parts = text.split(old);
  if (times >= parts.length - 1) return parts.join(fresh);
  return parts.slice(0, times + 1).join(fresh) + old + parts.slice(times + 1).join(old);
}

/** str.split or str.rsplit. */
export function split(text: string, separator: Value, most: number, fromRight: boolean): string[] {
  spendText(text.length);
  const parts = separator === NONE ? words(text, most, fromRight) : pieces(text, separator, most, fromRight);
  spendItems(parts.length);
  return parts;
}

function words(text: string, most: number, fromRight: boolean): string[] {
  const all = text.match(WORDS) ?? [];
  if (most < 0 || all.length <= most) return all;
  if (!fromRight) {
    let start = skipSpaces(text, 0);
    for (const word of all.slice(0, most)) start = skipSpaces(text, start + word.length);
    return [...all.slice(0, most), text.slice(start)];
  }
  const kept = most === 0 ? [] : all.slice(-most);
  let end = stripSpaces(text, false).length;
  for (const word of kept.toReversed()) end = stripSpaces(text.slice(0, end - word.length), false).length;
  return [text.slice(0, end), ...kept];
}

function pieces(text: string, separator: Value, most: number, fromRight: boolean): string[] {
  const wanted = stringOf(separator, "split()");
  if (wanted === "") throw new TemplateError("empty separator");
  const all = text.split(wanted);
  if (most < 0 || all.length <= most + 1) return all;
  if (!fromRight) return [...all.slice(0, most), all.slice(most).join(wanted)];
  const cut = all.length - most;
  return [all.slice(0, cut).join(wanted), ...all.slice(cut)];
}

const splitter = (fromRight: boolean): Method => {
  return (text, args, name) => {
    const [separator, most] = args.take(name, ["sep", "maxsplit"]);
    return split(text, separator ?? NONE, most === undefined ? -1 : indexOf(most, `${name}()`), fromRight);
  };
};

const partitioner = (fromRight: boolean): Method => {
  return (text, args, name) => {
    const separator = stringOf(args.take(name, ["sep"], 1)[0]!, `${name}()`);
    if (separator === "") throw new TemplateError("empty separator");
    const at = fromRight ? text.lastIndexOf(separator) : text.indexOf(separator);
    if (at < 0) return new Tuple(fromRight ? ["", "", text] : [text, "", ""]);
    return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
  };
};

/** str.join, for strings only. */
export function join(separator: string, values: Value): string {
  const parts = Array.from(iterate(values), (value, i) => {
    if (isText(value)) return textOf(value);
    throw new TemplateError(`sequence item ${i}: expected str instance, ${typeName(value)} found`);
  });
  spendText(parts.reduce((sum, part) => sum + part.length + separator.length, 0));
  return parts.join(separator);
}

/** Methods of str that search, split and join, by name. */
export const SEARCHES: Readonly<Record<string, Method>> = {
  strip: stripper(true, true),
  lstrip: stripper(true, false),
  rstrip: stripper(false, true),
  find: finder(false, false),
  rfind: finder(true, false),
  index: finder(false, true),
  rindex: finder(true, true),
  startswith: tester((text, affix) => text.startsWith(affix)),
  endswith: tester((text, affix) => text.endsWith(affix)),
  split: splitter(false),
  rsplit: splitter(true),
  partition: partitioner(false),
  rpartition: partitioner(true),
  splitlines: (text, args, name) => splitLines(text, isTrue(args.take(name, ["keepends"])[0] ?? false)),
  join: (text, args, name) => join(text, args.take(name, ["iterable"], 1)[0]!),
  count: (text, args, name) => {
    const [sub, start, end] = args.take(name, ["sub", "start", "end"], 1);
    const { part } = window(text, start, end);
    return part === undefined ? 0 : count(part, stringOf(sub!, "count()"));
  },
  replace: (text, args, name) => {
    const [old, fresh, most] = args.take(name, ["old", "new", "count"], 2);
    const limit = most === undefined ? -1 : indexOf(most, "replace()");
    return replace(text, stringOf(old!, "replace()"), stringOf(fresh!, "replace()"), limit);
  },
  removeprefix: (text, args, name) => {
    const prefix = stringOf(args.take(name, ["prefix"], 1)[0]!, `${name}()`);
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  },
  removesuffix: (text, args, name) => {
    const suffix = stringOf(args.take(name, ["suffix"], 1)[0]!, `${name}()`);
    return suffix && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
};

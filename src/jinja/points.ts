/** Python's strings are sequences of code points, JavaScript's of UTF-16 units. Few texts contain any that differ. */

/** The text that was used last: templates step through one text many times. */
let last = "";
let lastIsPlain = true;

/** Whether every unit is a code point. */
export function isPlain(text: string): boolean {
  if (text === last) return lastIsPlain;
  const plain = !/[\ud800-\udbff][\udc00-\udfff]/.test(text);
  if (text.length > 64) [last, lastIsPlain] = [text, plain];
  return plain;
}

/** The length of a text in code points. */
export function size(text: string): number {
  if (isPlain(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** The unit where a code point starts, counted from the start. */
export function unitOf(text: string, point: number): number {
  if (isPlain(text)) return point;
  let unit = 0;
  for (; point > 0 && unit < text.length; point--) unit += text.codePointAt(unit)! > 0xffff ? 2 : 1;
  return unit;
}

/** The code point that starts at a unit. */
export function pointOf(text: string, unit: number): number {
  return unit <= 0 || isPlain(text) ? unit : size(text.slice(0, unit));
}

/** start, stop and step of a slice of `length` values, as Python clips them. */
export function clip(length: number, start: number | undefined, stop: number | undefined, step: number) {
  const [low, high] = step < 0 ? [-1, length - 1] : [0, length];
  const at = (index: number | undefined, missing: number) => {
    if (index === undefined) return missing;
    return Math.min(high, Math.max(low, index < 0 ? index + length : index));
  };
  return step < 0 ? [at(start, high), at(stop, low)] : ([at(start, low), at(stop, high)] as const);
}

/** The indices of a slice. */
export function* sliceIndices(length: number, start: number | undefined, stop: number | undefined, step: number) {
  const [from, to] = clip(length, start, stop, step);
  for (let i = from!; step < 0 ? i > to! : i < to!; i += step) yield i;
}

/** A slice of a text, in code points, as Python takes it. */
export function sliceText(text: string, start?: number, stop?: number, step = 1): string {
  if (step === 1) {
    const [from, to] = clip(size(text), start, stop, 1);
    if (to! <= from!) return "";
    return text.slice(unitOf(text, from!), unitOf(text, to!));
  }
  const all = isPlain(text) ? text : [...text];
  let result = "";
  for (const i of sliceIndices(all.length, start, stop, step)) result += all[i];
  return result;
}

/** What is said of every code point, as digests that can be compared. */

export const CODE_POINTS = Array.from({ length: 0x110000 }, (_, code) => code).filter((c) => c < 0xd800 || c > 0xdfff);

/** FNV-1a of UTF-16 units, 32 bits. */
export function hash(text: string, from = 0x811c9dc5): number {
  let value = from;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** Of a set of code points as ranges, in order: how many there are, and a hash of which. */
export function digestOf(ranges: readonly (readonly [first: number, last: number])[]): [count: number, hash: number] {
  const joined: [number, number][] = [];
  for (const [first, last] of ranges) {
    const before = joined.at(-1);
    if (before && before[1] === first - 1) before[1] = last;
    else joined.push([first, last]);
  }
  return [joined.reduce((sum, [first, last]) => sum + last - first + 1, 0), hash(JSON.stringify(joined))];
}

/** Of a set of characters. */
export function digestWhere(holds: (character: string) => boolean): [count: number, hash: number] {
  const ranges = CODE_POINTS.filter((code) => holds(String.fromCodePoint(code))).map((code) => [code, code] as const);
  return digestOf(ranges);
}

/** Of the texts that characters become: how many change, and a hash of all. */
export function digestOfTexts(text: (character: string, code: number) => string): [changed: number, hash: number] {
  let changed = 0;
  let value: number | undefined;
  for (const code of CODE_POINTS) {
    const character = String.fromCodePoint(code);
    const becomes = text(character, code);
    if (becomes !== character) changed++;
    value = hash(`${becomes}|`, value);
  }
  return [changed, value as number];
}

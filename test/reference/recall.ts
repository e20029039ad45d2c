/** Which middle keys a query attends to, by the definition (docs/RECALL.md): every key is looked at, in plain numbers. */

/** The most keys of a block, which share a power of two. */
export const MOST_BLOCK = 32;

/** Keys of a block in heads of so many numbers. */
export function blockOf(headDim: number): number {
  return headDim > 128 ? MOST_BLOCK : 16;
}

/** Tokens before a query at which its head may have chosen at the same distance, at how many it must, and keys of each that count. */
export const RUN = { tokens: 8, times: 3, keys: 8 } as const;

/** Whether key j of query p runs on; `chosen`: of a query the positions that the head chose, best first. */
export function runsOn(p: number, j: number, chosen: (p: number) => readonly number[]): boolean {
  let times = 0;
  for (let before = Math.max(0, p - RUN.tokens); before < p; before++) {
    if (
      chosen(before)
        .slice(0, RUN.keys)
        .includes(j - (p - before))
    )
      times++;
  }
  return times >= RUN.times;
}

/** The positions at the distances that the head chose for the tokens before query p, which it looks at as well. */
export function followedBy(p: number, chosen: (p: number) => readonly number[]): number[] {
  const tokens = Array.from({ length: Math.min(p, RUN.tokens) }, (_, i) => p - 1 - i);
  return tokens.flatMap((before) =>
    chosen(before)
      .slice(0, RUN.keys)
      .map((j) => j + (p - before)),
  );
}

/** How many are chosen, and of how many blocks. */
export interface Choice {
  readonly k: number;
  /** Infinity: of all. */
  readonly blocks: number;
  /** The first keys that are attended anyway, and left out of means. */
  readonly nGlobal: number;
  /** Positions that are looked at in whatever block they are. */
  readonly followed?: readonly number[];
}

/** Chosen positions, best first; `certain`: they are the same for queries and keys that differ by `tolerance` of their largest. */
export interface Chosen {
  readonly positions: number[];
  readonly certain: boolean;
}

/** Whole numbers times a power of two, and which of them another rounding might change. */
export interface Coded {
  readonly power: number;
  readonly codes: readonly (readonly number[])[];
  readonly loose: readonly (readonly boolean[])[];
}

/** The largest codes of keys and of queries. */
const [KEY, QUERY] = [127, 63];

/** max |x| ≤ most · 2^e for the least e ≥ −120; x / 2^e rounded to the nearest whole number, halves to even ones. */
export function coded(rows: readonly Float64Array[], tolerance = 0, most = KEY): Coded {
  const largest = Math.max(...rows.flatMap((row) => [...row].map(Math.abs)));
  let e = -120;
  while (largest > most * 2 ** e) e++;
  const power = largest === 0 ? 1 : 2 ** e;
  const slack = (tolerance * largest) / power;
  return {
    power,
    codes: rows.map((row) => [...row].map((x) => roundEven(x / power))),
    loose: rows.map((row) => [...row].map((x) => Math.abs(Math.abs(x / power - Math.floor(x / power)) - 0.5) <= slack)),
  };
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The mean of a block's codes, rounded; the first nGlobal tokens of the text count as 0. */
export function meanOf(codes: readonly (readonly number[])[], block: number, nGlobal: number): number[] {
  const size = blockOf(codes[0]!.length);
  const taken = codes.filter((_, t) => size * block + t >= nGlobal);
  return codes[0]!.map((_, d) => roundEven(taken.reduce((sum, code) => sum + code[d]!, 0) / size));
}

/** A product of codes, and by how much it might be off. */
interface Product {
  readonly at: number;
  readonly value: number;
  readonly slack: number;
}

/** The `most` largest, of equal ones the smaller; and whether no other might belong to them. */
function best(all: readonly Product[], most: number): { chosen: Product[]; certain: boolean } {
  const sorted = all.toSorted((a, b) => b.value - a.value || a.at - b.at);
  const chosen = sorted.slice(0, most);
  const certain = sorted
    .slice(most)
    .every((other) =>
      chosen.every((one) => one.slack + other.slack === 0 || one.value - one.slack > other.value + other.slack),
    );
  return { chosen, certain };
}

/**
 * The keys of [begin, end) that a query chooses. `keys` has every key of the text, or at least those of whole blocks; `known`:
 * codes of blocks of these keys, so that many queries need not make them anew.
 */
export function chooseMiddle(
  query: Float64Array,
  keys: readonly Float64Array[],
  [begin, end]: readonly [number, number],
  { k, blocks, nGlobal, followed = [] }: Choice,
  tolerance = 0,
  known = new Map<number, Coded>(),
): Chosen {
  if (begin >= end) return { positions: [], certain: true };
  const size = blockOf(query.length);
  const asked = coded([query], tolerance, QUERY);
  const [q, looseQ] = [asked.codes[0]!, asked.loose[0]!];
  const codesOf = (block: number): Coded => {
    const found = known.get(block) ?? coded(keys.slice(size * block, size * (block + 1)), tolerance);
    known.set(block, found);
    return found;
  };
  const productOf = (at: number, power: number, codes: readonly number[], loose: readonly boolean[]): Product => {
    let [value, slack] = [0, 0];
    for (let d = 0; d < q.length; d++) {
      value += q[d]! * codes[d]!;
      slack += (looseQ[d] ? Math.abs(codes[d]!) : 0) + (loose[d] ? Math.abs(q[d]!) : 0);
    }
    return { at, value: power * value, slack: power * slack };
  };
  const productOfMean = (block: number): Product => {
    const { power, codes, loose } = codesOf(block);
    const anyLoose = q.map((_, d) => loose.some((key) => key[d]));
    return productOf(block, power, meanOf(codes, block, nGlobal), anyLoose);
  };
  const [first, last] = [Math.ceil(begin / size), Math.floor(end / size)];
  const whole = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
  const sieved = best(whole.map(productOfMean), blocks);
  const open = new Set(sieved.chosen.map(({ at }) => at));
  if (begin % size) open.add(first - 1);
  if (end % size) open.add(last);
  const looked = new Set([...open].flatMap((block) => Array.from({ length: size }, (_, t) => size * block + t)));
  for (const j of followed) looked.add(j);
  const products = [...looked]
    .filter((j) => j >= begin && j < end)
    .map((j) => {
      const { power, codes, loose } = codesOf(Math.floor(j / size));
      return productOf(j, power, codes[j % size]!, loose[j % size]!);
    });
  const { chosen, certain } = best(products, k);
  return { positions: chosen.map(({ at }) => at), certain: certain && sieved.certain };
}

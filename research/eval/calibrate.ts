import type { LayerHead } from "../../src/plan/middle.ts";

/** How a model looks back beyond its window: what is tried. */
export interface Setting {
  readonly heads: readonly LayerHead[];
  /** Tokens. */
  readonly distance: number;
  /** A power of two; undefined: none. */
  readonly gate: number | undefined;
}

/** What a setting gives, in nats per token, in the mean over the texts. */
export interface Measured {
  /** Of passages that are read again, whose first tokens are given. */
  readonly passages: number;
  /** Of what the texts go on with. */
  readonly text: number;
}

/** What is tried, from the first on. */
export interface Choices {
  /** In the order of their layers. */
  readonly heads: readonly LayerHead[];
  readonly distances: readonly number[];
  /** From the loosest to the strictest. */
  readonly gates: readonly number[];
}

/** What was found, and what it gives. */
export interface Calibration {
  readonly setting: Setting;
  readonly measured: Measured;
  /** Whether ordinary text is left unharmed; false: no gate does that. */
  readonly harmless: boolean;
}

/** Heads that passages need no more than this, in nats per token, are left out; a distance has to give as much. */
export const ENOUGH = 0.05;
/** Ordinary text may lose so much of its NLL under Λ. */
const HARM = 0.005;
/** Passages that lose less than this to Λ were not found. */
const FOUND = 0.1;

/**
 * Finds few heads that suffice, the distance, the loosest gate that leaves ordinary text unharmed, and heads that may have a
 * looser one, by trials one after the other; undefined where no trial finds anything. `plain`: what Λ alone gives.
 */
export async function calibrate(
  { heads, distances, gates }: Choices,
  plain: Measured,
  measure: (setting: Setting) => Promise<Measured>,
): Promise<Calibration | undefined> {
  let setting: Setting = { heads, distance: distances[0] as number, gate: undefined };
  let measured = await measure(setting);
  let least = measured.passages;
  const take = (next: Setting, found: Measured) => {
    setting = next;
    measured = found;
    least = Math.min(least, found.passages);
  };
  // What is not needed as a whole is left out at once, so that few heads of many are found by few trials.
  const leaveOut = async (some: readonly LayerHead[]): Promise<void> => {
    const without = { ...setting, heads: setting.heads.filter((head) => !some.includes(head)) };
    const found = without.heads.length > 0 ? await measure(without) : undefined;
    if (found && found.passages <= least + ENOUGH) return take(without, found);
    if (some.length === 1) return;
    const half = Math.ceil(some.length / 2);
    await leaveOut(some.slice(0, half));
    await leaveOut(some.slice(half));
  };
  for (const layer of new Set(heads.map(([layer]) => layer))) await leaveOut(heads.filter(([of]) => of === layer));
  for (const distance of distances.slice(1)) {
    const other = { ...setting, distance };
    const found = await measure(other);
    if (found.passages < measured.passages - ENOUGH) take(other, found);
  }
  if (measured.passages > plain.passages - FOUND) return undefined;
  const bound = plain.text * (1 + HARM);
  if (measured.text <= bound) return { setting, measured, harmless: true };
  for (const gate of gates) {
    const gated = { ...setting, gate };
    const found = await measure(gated);
    if (found.text > bound) continue;
    take(gated, found);
    for (const head of setting.heads) await loosen(head, gates.slice(0, gates.indexOf(gate)), bound);
    return { setting, measured, harmless: true };
  }
  return { setting, measured, harmless: false };

  /** Gives a head the loosest of these gates with which passages are found better and ordinary text is as good. */
  async function loosen(head: LayerHead, looser: readonly number[], bound: number): Promise<void> {
    for (const gate of looser) {
      const heads = setting.heads.map((other): LayerHead => (other === head ? [head[0], head[1], gate] : other));
      const found = await measure({ ...setting, heads });
      if (found.text <= bound && found.passages < measured.passages) return take({ ...setting, heads }, found);
    }
  }
}

/** A leg of a journey: a story goes on where its snapshot was taken, and leaves one. */
import { load, type Session } from "lambent";
import type { Host } from "./job.ts";

export interface Leg {
  /** Of the snapshots in the store; the leg begins with the prompt if there is none to begin with. */
  readonly from?: string;
  readonly to: string;
  readonly prompt: string;
  readonly seed: number;
  readonly newTokens: number;
}

/** What a leg has written. */
export interface Leaf {
  readonly ids: readonly number[];
  readonly text: string;
}

export interface TravelOptions {
  readonly model: string;
  /** Options of load. */
  readonly load: object;
  readonly legs: readonly Leg[];
}

const SAMPLING = { temperature: 0.8, ignoreEos: true } as const;

/** What every leg has written. */
export async function travel({ model: name, load: options, legs }: TravelOptions, host: Host): Promise<Leaf[]> {
  const model = await load(`${host.base}models/${name}`, options);
  const written: Leaf[] = [];
  for (const { from, to, prompt, seed, newTokens } of legs) {
    let session: Session;
    if (from === undefined) {
      session = await model.session({ seed });
      await session.append(prompt);
    } else {
      const stored = await fetch(`${host.base}store/${from}`);
      session = await model.restore(new Uint8Array(await stored.arrayBuffer()));
    }
    const ids: number[] = [];
    let text = "";
    for await (const token of session.generate(undefined, { ...SAMPLING, maxNewTokens: newTokens }).tokens()) {
      ids.push(token.id);
      text += token.text;
    }
    const kept = await fetch(`${host.base}store/${to}`, { method: "PUT", body: await session.snapshot() });
    await kept.arrayBuffer();
    session.dispose();
    written.push({ ids, text });
    await host.report(`${to} written`);
  }
  model.dispose();
  return written;
}

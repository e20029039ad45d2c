/** Samplers without an engine around them. */
import { Sampler } from "../../src/engine/sampler.ts";
import { Bank } from "../../src/machine/bank.ts";
import { Scores } from "../../src/machine/scores.ts";
import { kernels } from "../setup.ts";

const single = await kernels();
const made = new Map<number, Sampler>();

/** The scores of a vocabulary, in a memory of their own. */
export function scoresOf(vocabSize: number): Scores {
  const bytes = Scores.bytes(vocabSize);
  const places = { control: 0, step: 0, slots: 0, slotBytes: 0 };
  return new Scores(new Bank(single, { ...places, initialBytes: bytes, maximumBytes: bytes }), 0, vocabSize);
}

/** The sampler of a vocabulary, always the same one. */
export function samplerOf(vocabSize: number): Sampler {
  const sampler = made.get(vocabSize) ?? new Sampler(scoresOf(vocabSize));
  made.set(vocabSize, sampler);
  return sampler;
}

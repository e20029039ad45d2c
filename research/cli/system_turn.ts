import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { mismatch, OptionError } from "../../src/base/errors.ts";
import { draw } from "../../src/base/random.ts";
import { DEFAULT_MODEL, whole } from "../../src/cli/options.ts";
import { write } from "../../src/cli/streams.ts";
import { logSumExp } from "../../src/engine/sampler.ts";
import type { LoadOptions } from "../../src/session/load.ts";
import { load, type Model } from "../../src/session/model.ts";
import type { Session } from "../../src/session/session.ts";

interface SystemTurnFlags {
  readonly model: string;
  readonly window: number;
  readonly pinned: number;
  readonly windows: number;
  readonly trials: number;
}

const RULE = "Captain Brown always gives the same answer:";
const ANSWER = " I have seen nothing of it, and I know nothing of the matter.";
const QUESTION = "What is the pass key? The pass key is";
const DEPTHS = [0, 0.5, 1];

const text = (name: string) => {
  return readFileSync(new URL(`../../models/texts/${name}.txt`, import.meta.url), "utf8").replace(/\d/g, "");
};

/** The policies; all but the first take as much memory as the window alone. */
function policiesOf({ window, pinned: nGlobal }: SystemTurnFlags): Record<string, LoadOptions> {
  const nLocal = window - nGlobal;
  return {
    "lambda, nLocal = window": { attention: "lambda", nGlobal, nLocal: window },
    "lambda, limit = window": { attention: "lambda", nGlobal, nLocal, limit: window },
    "lambda, limit = nLocal": { attention: "lambda", nGlobal, nLocal },
    sinks: { attention: "sinks", nGlobal, nLocal },
    "window alone": { attention: "window", nLocal: window },
  };
}

/**
 * Whether a key and a rule in a long system turn are found after many windows, by policy: at what distances pinned keys are
 * best met. The turn has the sentences at its start, in its middle or at its end; a novel follows; then the key is asked
 * for, and the start of the rule is repeated. Printed: nats per token of the key, of another key and of what the rule
 * says, and how often the key is answered by greedy choice.
 */
export function addSystemTurn(evaluation: Command, signal: AbortSignal): void {
  evaluation
    .command("system-turn")
    .description("whether a long pinned system turn is still obeyed after many windows, by policy")
    .option("-m, --model <where>", "directory, GGUF file, URL or Hugging Face id", DEFAULT_MODEL)
    .option("--window <n>", "tokens of the window, the pinned ones included", whole(2), 512)
    .option("--pinned <n>", "tokens of the system turn", whole(1), 128)
    .option("--windows <n>", "windows of other text", whole(1), 10)
    .option("--trials <n>", "trials per policy and depth", whole(1), 4)
    .action((flags: SystemTurnFlags) => measure(flags, signal));
}

async function measure(flags: SystemTurnFlags, signal: AbortSignal): Promise<void> {
  const texts = { system: text("dickens-great-expectations").slice(20_000), novel: text("austen-persuasion") };
  await write("| policy | depth | key | other key | answered | rule |\n| --- | --- | --- | --- | --- | --- |\n");
  for (const [name, options] of Object.entries(policiesOf(flags))) {
    using model = await load(flags.model, { ...options, signal });
    const novel = model.tokenizer.encode(texts.novel, { addSpecialTokens: false });
    const state = { seed: flags.pinned, counter: 0 };
    for (const depth of DEPTHS) {
      const all: number[][] = [];
      for (let i = 0; i < flags.trials; i++) {
        all.push(await trial({ model, flags, novel, system: texts.system, random: () => draw(state), signal }, depth));
      }
      const mean = (column: number) => all.reduce((sum, row) => sum + (row[column] as number), 0) / all.length;
      const numbers = [mean(0).toFixed(2), mean(1).toFixed(2), `${Math.round(100 * mean(2))} %`, mean(3).toFixed(2)];
      await write(`| ${name} | ${depth} | ${numbers.join(" | ")} |\n`);
    }
  }
}

interface Quiz {
  readonly model: Model;
  readonly flags: SystemTurnFlags;
  readonly novel: readonly number[];
  readonly system: string;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

/** Nats per token of a continuation. */
async function nll(session: Session, ids: readonly number[]): Promise<number> {
  using reader = await session.fork();
  let sum = 0;
  for (const id of ids) {
    const logits = (await reader.logits()) as Float32Array;
    sum += logSumExp(logits) - (logits[id] as number);
    await reader.append([id]);
  }
  return sum / ids.length;
}

/** [key, another key, whether it is answered, what the rule says] */
async function trial({ model, flags, novel, system, random, signal }: Quiz, depth: number): Promise<number[]> {
  const { pinned, window, windows } = flags;
  const { tokenizer } = model;
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const [key, other] = [random(), random()].map((x) => 10_000 + Math.floor(x * 90_000));
  const hidden = encode(` The pass key is ${key}. Remember it. ${key} is the pass key. ${RULE}${ANSWER}`);
  const prose = encode(system.slice(Math.floor(random() * 50_000)).slice(0, 20 * pinned));
  const bos = tokenizer.encode("").slice(0, 1);
  const room = pinned - bos.length - hidden.length;
  if (room < 0) throw new OptionError(mismatch("pinned", `at least ${pinned - room} tokens`, pinned));
  const before = Math.round(depth * room);
  const from = Math.floor(random() * (novel.length - windows * window));
  using session = await model.session();
  await session.append([...bos, ...prose.slice(0, before), ...hidden, ...prose.slice(before, room)]);
  await session.append(novel.slice(from, from + windows * window), { signal });
  using asked = await session.fork();
  await asked.append(encode(`\n\n${QUESTION}`));
  using ruled = await session.fork();
  await ruled.append(encode(`\n\n${RULE}`));
  const answer = encode(` ${key}`);
  using speaker = await asked.fork();
  const said = await speaker.generate([], { maxNewTokens: answer.length, doSample: false }).text();
  const right = said.includes(`${key}`) ? 1 : 0;
  return [await nll(asked, answer), await nll(asked, encode(` ${other}`)), right, await nll(ruled, encode(ANSWER))];
}

import type { Model, Session } from "lambent";
import { memoryLog } from "lambent/stores";
import { type Case, expect, hash, LLAMA, MODELS, type Setting, withModel } from "./case.ts";

const DTYPES = ["f32", "bf16", "f16", "q8", "q7", "q4"] as const;
const PROMPT = `It was late in the evening when the old captain came home. "You have kept us waiting," said his sister, "and the letter has been lying upon the table since noon."`;
const SAMPLING = { seed: 7, temperature: 0.8, maxNewTokens: 48, ignoreEos: true } as const;

/** A text, the hash of all logits that chose it, and the bits of its tokens' probabilities. */
export async function written(model: Model) {
  const generation = model.generate(PROMPT, SAMPLING);
  const logprobs: number[] = [];
  let text = "";
  for await (const token of generation.tokens()) {
    logprobs.push(token.logprob);
    text += token.text;
  }
  const { logitsHash, newTokens, promptTokens } = await generation.result;
  expect("new tokens", SAMPLING.maxNewTokens, newTokens);
  return { text, logitsHash, promptTokens, logprobs: hash(Float64Array.from(logprobs)) };
}

/** The same text and logits, bit for bit: of every model and weight format, in every build, by one thread and by two. */
export function bits(setting: Setting): Case[] {
  const { quick, threads: most } = setting;
  const dtypesOf = (model: string) => (quick && model !== LLAMA ? (["bf16", "q4"] as const) : DTYPES);
  const kinds = (["relaxed", "plain"] as const).flatMap((simd) =>
    ([1, 2] as const).map((threads) => ({ simd, threads })),
  );
  const each = MODELS.flatMap((name) =>
    dtypesOf(name).flatMap((dtype) =>
      kinds.map(({ simd, threads }): Case => {
        const same = `bits: ${name} ${dtype}`;
        return {
          ...{ name: `${same}, ${simd}, ${threads === 1 ? "one thread" : "two threads"}`, same },
          absent: threads > most ? "no threads here" : undefined,
          run: () =>
            withModel(setting, name, { dtype, simd, threads }, async (model) => {
              expect("build", `${threads === 1 ? "single" : "shared"}-${simd}`, model.info.kernels);
              expect("threads", threads, model.info.threads);
              const first = await written(model);
              // Steps do not wait for threads that are still starting: by now they are there.
              if (threads > 1) expect("the same again", first, await written(model));
              return first;
            }),
        };
      }),
    ),
  );
  return [...each, ...caches(setting), ...recalls(setting), ...logs(setting)];
}

/** Middle tokens, with RoPE and with ALiBi, in every format of the cache: the text, what it looked back at, and how much. */
function recalls(setting: Setting): Case[] {
  const names = MODELS.filter((name) => name !== LLAMA);
  return names.flatMap((name) =>
    (["f32", "bf16", "int8"] as const).flatMap((cacheDtype) =>
      ([1, 2] as const).map((threads): Case => {
        // All heads of one layer, which attend to what runs on and hardly to anything else, and one of another.
        const recallHeads = [...[0, 1, 2, 3].map((head) => [1, head, 9] as const), [2, 1] as const];
        const same = `recall: ${name}, ${cacheDtype} cache`;
        const middle = { recall: 4, recallBlocks: 2, recallHeads, recallTokens: 96 };
        return {
          ...{ name: `${same}, ${threads === 1 ? "one thread" : "two threads"}`, same },
          absent: threads > setting.threads ? "no threads here" : undefined,
          run: () => withModel(setting, name, { cacheDtype, threads, nLocal: 48, nGlobal: 4, ...middle }, recalled),
        };
      }),
    ),
  );
}

/** Logs: what a slot that has everything gives, and a snapshot that goes on with its segments. */
function logs(setting: Setting): Case[] {
  const names = MODELS.filter((name) => name !== LLAMA);
  return names.map((name, i): Case => {
    const common = { nLocal: 48, nGlobal: 4, cacheDtype: i === 0 ? "bf16" : "int8", maxSessions: 2 } as const;
    const middle = { recall: 4, recallBlocks: 2, recallLayers: [1, 2], recallTokens: 4096, recallGate: -1 };
    return {
      name: `log: ${name}`,
      run: async () => {
        const wanted = await withModel(setting, name, { ...common, ...middle }, (model) => behind(setting, model));
        // Pages have their engines in workers, where a store of one's own does not go.
        const recallStore = globalThis.document ? `lambent-${crypto.randomUUID()}` : memoryLog();
        return withModel(setting, name, { ...common, ...middle, recallStore, recallMemory: 0 }, async (model) => {
          const { hash: found, session } = await behind(setting, model);
          expect("with a log", wanted.hash, found);
          const snapshot = await session.snapshot();
          session.dispose();
          const after = await goOn(await model.restore(snapshot));
          return { found, size: snapshot.length, snapshot: hash(snapshot), after };
        });
      },
    };
  });
}

/** The hash of what is said behind a text of more than two segments, and the session that has read it. */
async function behind({ novel }: Setting, model: Model) {
  const session = await model.session({ seed: SAMPLING.seed });
  while (session.length < 2500) await session.append(novel, { recall: false });
  const fork = await session.fork();
  const hash = await goOn(fork);
  fork.dispose();
  return { hash, session };
}

async function goOn(session: Session): Promise<string> {
  const { logitsHash } = await session.generate(PROMPT, { ...SAMPLING, maxNewTokens: 16 }).result;
  return logitsHash;
}

/** A text that goes on behind others of the same words. */
async function recalled(model: Model) {
  const session = await model.session({ seed: SAMPLING.seed });
  await session.append(PROMPT, { recall: false });
  await session.append(PROMPT);
  const generation = session.generate(undefined, SAMPLING);
  const text = await generation.text();
  const { logitsHash } = await generation.result;
  const tokens = await session.recalled();
  expect("recalled", true, tokens.length > 0);
  const positions = hash(Float64Array.from(tokens.map(({ position }) => position)));
  return { text, logitsHash, positions, weights: hash(Float64Array.from(tokens.map(({ weight }) => weight))) };
}

/** Caches of other formats, with a window so small that they turn over. */
function caches(setting: Setting): Case[] {
  return (["f32", "bf16", "int8"] as const).map((cacheDtype) => ({
    name: `cache: ${cacheDtype}`,
    run: () => withModel(setting, LLAMA, { cacheDtype, nLocal: 32, nGlobal: 4 }, written),
  }));
}

/** Prompt lookup: the same tokens, logits and snapshots as without it, whatever is asked for, in fewer steps. */
import { afterAll, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import { type GenerateOptions, type LoadOptions, load, type Model, type Session } from "../../src/entry/index.ts";
import { Machine } from "../../src/machine/machine.ts";
import { POLICIES } from "../../src/plan/policy.ts";
import { EMBEDDED, FAMILIES, failure, removeTemporary, small, WILD } from "./small.ts";

setDefaultTimeout(240_000);
afterAll(removeTemporary);

/** Texts that repeat themselves, more or less. */
const prompt = fc
  .record({
    start: fc.array(fc.integer({ min: 3, max: 59 }), { maxLength: 6 }),
    again: fc.array(fc.integer({ min: 3, max: 59 }), { minLength: 1, maxLength: 5 }),
    times: fc.integer({ min: 1, max: 8 }),
  })
  .map(({ start, again, times }) => [...start, ...Array.from({ length: times }, () => again).flat()]);
const setup: fc.Arbitrary<LoadOptions> = fc.oneof(
  fc.record({
    attention: fc.constantFrom(...POLICIES),
    cacheDtype: fc.constantFrom("f32" as const, "bf16" as const, "int8" as const),
    chunkSize: fc.constantFrom(1, 3, 16, 128),
    nLocal: fc.constantFrom(1, 2, 5, 8, 21),
    nGlobal: fc.constantFrom(0, 3, 40),
    repeatLastN: fc.constantFrom(undefined, 3, 50),
    maxPositions: fc.constantFrom(150, 500),
  }),
  fc.record({
    attention: fc.constantFrom("lambda" as const, "window" as const),
    cacheDtype: fc.constantFrom("f32" as const, "int8" as const),
    chunkSize: fc.constantFrom(3, 128),
    nLocal: fc.constantFrom(32, 37, 49),
    recall: fc.constantFrom(1, 3),
    recallTokens: fc.constantFrom(5, 30),
    recallBlocks: fc.constantFrom(1, "all" as const),
    recallLayers: fc.constantFrom([0, 1], [1]),
    recallHeads: fc.constantFrom("all" as const, [[1, 1] as const]),
    recallGate: fc.constantFrom(undefined, 2),
    recallQueries: fc.constantFrom("all" as const, "last" as const),
  }),
);
const choosing: fc.Arbitrary<GenerateOptions> = fc.record({
  temperature: fc.constantFrom(0, 0.3, 0.6, 1, 4),
  topK: fc.constantFrom(0, 5),
  topP: fc.constantFrom(1, 0.9),
  repetitionPenalty: fc.constantFrom(1, 1, 1.2),
  noRepeatNgramSize: fc.constantFrom(0, 0, 4),
  minNewTokens: fc.constantFrom(0, 10),
  stopStrings: fc.constantFrom([], [], ["no"], ["ab", "the"]),
  logitBias: fc.constantFrom({}, { 2: 3 }, { 20: -5, 21: 2 }),
  ignoreEos: fc.boolean(),
  maxNewTokens: fc.integer({ min: 0, max: 60 }),
});
/** What is done with the session, after this many tokens of a generation. */
const acts = fc.array(
  fc.record({
    kind: fc.constantFrom("generate", "leave", "next", "append", "fork", "restore"),
    options: choosing,
    count: fc.integer({ min: 1, max: 12 }),
    tokens: prompt,
    seed: fc.nat(1000),
  }),
  { minLength: 1, maxLength: 5 },
);
type Act = typeof acts extends fc.Arbitrary<(infer One)[]> ? One : never;

/** Everything that a session gives in its life. */
async function live(model: Model, first: number[], all: readonly Act[], promptLookupNumTokens: number) {
  let session = await model.session({ seed: 1 });
  const given: unknown[] = [];
  await session.append(first);
  for (const act of all) {
    const options = { ...act.options, seed: act.seed, promptLookupNumTokens };
    try {
      if (act.kind === "append") await session.append(act.tokens);
      else if (act.kind === "next") for (let i = 0; i < act.count; i++) given.push(await session.next(options));
      else if (act.kind === "generate" || act.kind === "leave") given.push(...(await write(session, act, options)));
      else session = await copy(model, session, act.kind);
    } catch (error) {
      // The text has become too long for its cache.
      if (!(error instanceof OptionError)) throw error;
      given.push(error.message.replace(/^session \d+/, ""));
    }
    given.push([...new Uint32Array(((await session.logits()) ?? new Float32Array()).buffer)], session.length);
    given.push(Bun.hash(await session.snapshot()));
  }
  session.dispose();
  return given;
}

async function write(session: Session, { kind, count }: Act, options: GenerateOptions): Promise<unknown[]> {
  const generation = session.generate(undefined, options);
  const given: unknown[] = [];
  for await (const token of generation.tokens()) {
    given.push(token);
    if (kind === "leave" && given.length === count) break;
  }
  const { logitsHash, newTokens, finishReason } = await generation.result;
  return [...given, logitsHash, newTokens, finishReason];
}

async function copy(model: Model, session: Session, kind: string): Promise<Session> {
  const copied = kind === "fork" ? await session.fork() : await model.restore(await session.snapshot());
  session.dispose();
  return copied;
}

test.each([false, true])("whatever is asked for, alone and beside others (worker: %p)", async (worker) => {
  const run = async (family: string, options: LoadOptions, lives: [number[], Act[]][], most: number) => {
    using model = await small(family, { ...options, worker });
    const plain: unknown[] = [];
    for (const [first, all] of lives) plain.push(await live(model, first, all, 0));
    const alone: unknown[] = [];
    for (const [first, all] of lives) alone.push(await live(model, first, all, most));
    expect(alone).toEqual(plain);
    expect(await Promise.all(lives.map(([first, all]) => live(model, first, all, most)))).toEqual(plain as unknown[][]);
  };
  const lives = fc.array(fc.tuple(prompt, acts), { minLength: 1, maxLength: 4 });
  const cases = fc.asyncProperty(fc.constantFrom(...FAMILIES), setup, lives, fc.constantFrom(1, 2, 5, 10, 40), run);
  await fc.assert(cases, { numRuns: worker ? 8 : 40 });
});

/** Texts of the tiny models' letters, parts of which are certain. */
const FORMATS = [
  'root ::= ("the banana on a cab" | "and no") (" " [a-o]{1,4} " and the abc\\n"){1,3}',
  "root ::= ([a-o]+ [ .]){2,5}",
  'root ::= "é€😀" [a-c]+ "€😀"',
].map((grammar) => ({ type: "grammar", grammar }) as const);

test("tokens that a format asks for in any case are read ahead: nothing changes but the steps", async () => {
  const run = async (family: string, options: LoadOptions, lives: [number[], Act[]][]) => {
    // Steps of one row read nothing ahead.
    using plain = await small(family, { ...options, chunkSize: 1 });
    using model = await small(family, { ...options, chunkSize: 16 });
    const wanted: unknown[][] = [];
    const all: unknown[][] = [];
    for (const [first, acts] of lives) {
      wanted.push(await live(plain, first, acts, 0));
      all.push(await live(model, first, acts, 0));
    }
    expect(all).toEqual(wanted);
    expect(await Promise.all(lives.map(([first, acts]) => live(model, first, acts, 3)))).toEqual(wanted);
  };
  const formatted = acts.chain((all) =>
    fc.array(fc.constantFrom(...FORMATS), { minLength: all.length, maxLength: all.length }).map((formats) =>
      all.map((act, i): Act => {
        return { ...act, options: { ...act.options, ignoreEos: false, responseFormat: formats[i] } };
      }),
    ),
  );
  const lives = fc.array(fc.tuple(prompt, formatted), { minLength: 1, maxLength: 3 });
  await fc.assert(fc.asyncProperty(fc.constantFrom(...FAMILIES), setup, lives, run), { numRuns: 25 });
});

test("a form whose keys are long takes half the steps", async () => {
  using model = await load(EMBEDDED, { threads: 1 });
  const properties = { thePlaceWhereTheyLived: { enum: ["Kellynch Hall"] }, whatTheCaptainSaid: { enum: ["nothing"] } };
  const required = Object.keys(properties);
  const schema = { type: "object", properties, required, additionalProperties: false };
  const options = { temperature: 0, maxNewTokens: 200, responseFormat: { type: "json_schema", schema } } as const;
  let text = "";
  const steps = await stepsOf(async () => {
    text = await model.generate("It was", options).text();
  });
  expect(required.every((key) => key in JSON.parse(text))).toBe(true);
  const tokens = model.tokenizer.encode(text, { addSpecialTokens: false }).length;
  expect(steps).toBeLessThan(tokens / 2);
});

async function stepsOf(work: () => Promise<unknown>): Promise<number> {
  let steps = 0;
  const run = Machine.prototype.run;
  const spy = spyOn(Machine.prototype, "run").mockImplementation(function (this: Machine, rows) {
    steps++;
    return run.call(this, rows);
  });
  await work();
  spy.mockRestore();
  return steps;
}

const AGAIN = "The rain fell on the old town, and the lamps were lit along the quay. ".repeat(8);

test("a text that repeats itself takes a fraction of the steps, and one that does not takes no more", async () => {
  using model = await load(EMBEDDED, { threads: 1 });
  const generate = (prompt: string, promptLookupNumTokens: number) => {
    return model.generate(prompt, { temperature: 0, maxNewTokens: 120, ignoreEos: true, promptLookupNumTokens }).result;
  };
  const plain = await generate(AGAIN, 0);
  const steps = await stepsOf(async () => expect((await generate(AGAIN, 10)).logitsHash).toBe(plain.logitsHash));
  expect(steps).toBeLessThan(50);
  const [without, withLookup] = [
    await stepsOf(() => generate("It was", 0)),
    await stepsOf(() => generate("It was", 10)),
  ];
  expect(withLookup).toBeLessThanOrEqual(without);
});

test("generation_config.json may ask for it, and a bad number is refused", async () => {
  using model = await small("llama-gqa-tied", {}, { prompt_lookup_num_tokens: 8 });
  expect(model.warnings).toEqual([]);
  const options = { temperature: 0, maxNewTokens: 80, ignoreEos: true };
  const [asked, not] = [
    await stepsOf(() => model.generate([5, 6], options).result),
    await stepsOf(() => model.generate([5, 6], { ...options, promptLookupNumTokens: 0 }).result),
  ];
  expect(asked).toBeLessThan(not);
  for (const promptLookupNumTokens of [-1, 1.5, "10" as never]) {
    const error = await failure(OptionError, () => model.generate([5], { ...WILD, promptLookupNumTokens }).text());
    expect(error.message).toStartWith("promptLookupNumTokens: expected a whole number, 0 for off, found ");
  }
});

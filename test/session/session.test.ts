/** Sessions, step by step: reading, choosing, forking, chats. */
import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import { type GenerateOptions, load, type Model, type Session } from "../../src/entry/index.ts";
import { deviation } from "../setup.ts";
import { BOS, EMBEDDED, embeddedFolder, failure, freeSlots, removeTemporary, small, WILD } from "./small.ts";

setDefaultTimeout(60_000);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, maxNewTokens: 40, ignoreEos: true };
const SLOTS = 4;
let model: Model;

beforeEach(async () => {
  model = await small("llama-gqa-tied", { maxSessions: SLOTS, chunkSize: 4 });
});
afterEach(async () => expect(await freeSlots(model)).toBe(SLOTS));
afterAll(removeTemporary);

const idsOf = async (session: Session, options: GenerateOptions = OPTIONS) => {
  const ids: number[] = [];
  for await (const { id } of session.generate(undefined, options).tokens()) ids.push(id);
  return ids;
};

test("append and next, one by one, give what generate gives", async () => {
  const generation = model.generate(PROMPT, { ...OPTIONS, seed: 8 });
  const ids: number[] = [];
  let generated = "";
  for await (const token of generation.tokens()) {
    ids.push(token.id);
    generated += token.text;
  }
  using session = await model.session({ seed: 8 });
  await session.append(PROMPT.slice(0, 3));
  await session.append(PROMPT.slice(3));
  const found: number[] = [];
  let text = "";
  while (found.length < ids.length) {
    const token = await session.next(OPTIONS);
    expect(token.position).toBe(PROMPT.length + found.length);
    found.push(token.id);
    text += token.text;
  }
  expect(found).toEqual(ids);
  expect(generated).toStartWith(text);
});

test("a text read in pieces, chosen tokens between them, is one text", async () => {
  using pieces = await model.session({ seed: 1 });
  await pieces.append("ab the");
  const { id } = await pieces.next(OPTIONS);
  await pieces.append("cab");
  using whole = await model.session();
  await whole.append([...model.tokenizer.encode("ab the"), id, ...model.tokenizer.encode("cab")]);
  expect(await pieces.logits()).toEqual((await whole.logits()) as Float32Array<ArrayBuffer>);
});

test("length counts the tokens of the prompt and those that were chosen", async () => {
  using session = await model.session();
  const lengths = [session.length];
  for (const step of [
    () => session.append(PROMPT),
    () => session.next(OPTIONS),
    () => session.append([]),
    () => session.next(OPTIONS),
    () => session.append([5, 6]),
    () => session.generate([7], { ...OPTIONS, maxNewTokens: 10 }).text(),
  ]) {
    await step();
    lengths.push(session.length);
  }
  expect(lengths).toEqual([0, 5, 6, 6, 7, 9, 20]);
});

test("a session that begins far away has the same logits within 1e-5, and says where it is", async () => {
  for (const startPosition of [1, 1000, 2 ** 40, 2 ** 52]) {
    using here = await model.session();
    using there = await model.session({ startPosition });
    for (let round = 0; round < 6; round++) {
      for (const session of [here, there]) await session.append(PROMPT);
      expect(deviation((await there.logits()) ?? [], (await here.logits()) ?? [0])).toBeLessThan(1e-5);
    }
    expect((await there.next()).position).toBe(startPosition + 30);
    expect(there.length).toBe(31);
  }
});

test("a start or a seed that is none is refused by name", async () => {
  for (const value of [-1, 0.5, Number.NaN, 2 ** 53]) {
    const start = await failure(OptionError, () => model.session({ startPosition: value }));
    expect(start.message).toStartWith("startPosition: expected ");
    const seed = await failure(OptionError, () => model.session({ seed: value }));
    expect(seed.message).toStartWith("seed: expected ");
  }
});

test("a fork goes its own way from where it was made", async () => {
  using session = await model.session({ seed: 2 });
  await session.generate(PROMPT, { ...OPTIONS, maxNewTokens: 30 }).text();
  using same = await session.fork();
  using other = await session.fork();
  expect(await same.snapshot()).toEqual(await session.snapshot());
  const elsewhere = await idsOf(other, { ...OPTIONS, seed: 3 });
  const [a, b] = await Promise.all([idsOf(same), idsOf(session)]);
  expect(a).toEqual(b);
  expect(elsewhere).not.toEqual(a);
  expect(await same.snapshot()).toEqual(await session.snapshot());
});

test("a fork needs a slot", async () => {
  const sessions = await Promise.all(Array.from({ length: SLOTS }, () => model.session()));
  const message = `session: expected at most ${SLOTS} open at once, found ${SLOTS + 1}`;
  for (const open of [() => model.session(), () => sessions[0]?.fork(), () => model.generate("a").text()]) {
    expect((await failure(OptionError, open)).message).toBe(message);
  }
  for (const session of sessions) session.dispose();
});

test("what was disposed can be used no more, and be disposed again", async () => {
  const session = await model.session();
  await session.append(PROMPT);
  session.dispose();
  session.dispose();
  const uses = [() => session.append([5]), () => session.next(), () => session.generate([5]).text()];
  for (const use of [...uses, () => session.snapshot(), () => session.fork(), () => session.length]) {
    expect((await failure(OptionError, use)).message).toMatch(/^session \d+ was disposed$/);
  }
});

test("a session disposed of while it reads leaves its slot's next owner alone", async () => {
  using wanted = await model.session();
  await wanted.append(PROMPT);
  const others = await Promise.all(Array.from({ length: SLOTS - 2 }, () => model.session()));
  const left = await model.session();
  const reading = left.append(new Array(100).fill(9)).catch((error) => error);
  left.dispose();
  using next = await model.session();
  for (const id of PROMPT) await next.append([id]);
  const error = await reading;
  for (const session of others) session.dispose();
  expect(await next.logits()).toEqual((await wanted.logits()) as Float32Array<ArrayBuffer>);
  expect(error).toBeInstanceOf(OptionError);
});

test("a reader may dispose of the session", async () => {
  const session = await model.session();
  const generation = session.generate(PROMPT, OPTIONS);
  for await (const _ of generation) {
    session.dispose();
    break;
  }
  expect(await generation.result).toMatchObject({ finishReason: "abort" });
});

test("one call at a time", async () => {
  using session = await model.session();
  const reading = session.append(PROMPT);
  const { message } = await failure(OptionError, () => session.append([5]));
  expect(message).toMatch(/^session \d+ is busy: it takes one call at a time$/);
  await reading;
  expect(session.length).toBe(5);
});

test("a generation that is refused, as another one is under way, changes nothing of that one", async () => {
  const options = { ...WILD, seed: 5, maxNewTokens: 20, ignoreEos: true };
  const alone = model.generate(PROMPT, options);
  const expected = [await alone.text(), (await alone.result).logitsHash];
  using session = await model.session();
  const generation = session.generate(PROMPT, options);
  const reading = generation.text();
  await failure(OptionError, () => Promise.all([reading, session.generate([5], { stopStrings: ["a"] }).text()]));
  expect([await reading, (await generation.result).logitsHash]).toEqual(expected);
});

describe("options of next", () => {
  test("a seed that is none changes nothing", async () => {
    using session = await model.session({ seed: 4 });
    await session.append(PROMPT);
    using same = await session.fork();
    await failure(OptionError, () => session.next({ ...OPTIONS, seed: -1 }));
    expect(session.seed).toBe(4);
    expect(await session.next(OPTIONS)).toEqual(await same.next(OPTIONS));
  });

  test("next needs something before it", async () => {
    using session = await model.session();
    const { message } = await failure(OptionError, () => session.next());
    expect(message).toMatch(/^session \d+ has no logits to choose from: append tokens first$/);
  });
});

describe("a prompt", () => {
  test("that is empty is BOS, where the model has one", async () => {
    using empty = await model.session();
    await empty.append("");
    using bos = await model.session();
    await bos.append([BOS]);
    expect(empty.length).toBe(1);
    expect(await empty.logits()).toEqual((await bos.logits()) as Float32Array<ArrayBuffer>);
    await empty.append("");
    expect(empty.length).toBe(1);
    const without = await small("mpt-heads6");
    const { message } = await failure(OptionError, () => without.generate("").text());
    expect(message).toMatch(/^session \d+ has no logits to choose from: append tokens first$/);
  });

  test("begins with what the tokenizer puts before a text, at the beginning only", async () => {
    const embedded = await load(EMBEDDED);
    using session = await embedded.session();
    await session.append("It was");
    await session.append(" late");
    using whole = await embedded.session();
    await whole.append(embedded.tokenizer.encode("It was late"));
    expect(session.length).toBe(whole.length);
    expect(await session.logits()).toEqual((await whole.logits()) as Float32Array<ArrayBuffer>);
  });
});

describe("a chat", () => {
  const template =
    "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}\n{% endfor %}" +
    "{% if add_generation_prompt %}assistant:{% endif %}";
  const options = { maxNewTokens: 12, temperature: 0 };

  test("is rendered by the model's template, without a further BOS, and goes on", async () => {
    const chat = await load(
      embeddedFolder({ bos_token: "<|endoftext|>", add_bos_token: true, chat_template: template }),
    );
    const generation = chat.generate([{ role: "user", content: "Who are you?" }], options);
    const ids = chat.tokenizer.encode("<|endoftext|>user: Who are you?\nassistant:", { addSpecialTokens: false });
    const text = await generation.text();
    expect(text).not.toBe("");
    expect((await generation.result).promptTokens).toBe(ids.length);
    expect(text).toBe(await chat.generate(ids, options).text());
    using session = await chat.session();
    await session.append([{ role: "system", content: "Speak." }]);
    await session.append([{ role: "user", content: "Now!" }]);
    const rendered = "<|endoftext|>system: Speak.\nassistant:\n<|endoftext|>user: Now!\nassistant:";
    expect(session.length).toBe(chat.tokenizer.encode(rendered, { addSpecialTokens: false }).length);
  });

  test("needs a template, and messages that are some", async () => {
    const { message } = await failure(OptionError, () => model.generate([{ role: "user", content: "a" }]).text());
    expect(message).toEndWith("has no chat template: pass one as chatTemplate, or a prompt");
    const chat = await load(embeddedFolder({ bos_token: "<|endoftext|>", chat_template: template }));
    const bad = await failure(OptionError, () => chat.generate([{ role: "user", content: 3 } as never]).text());
    expect(bad.message).toBe("messages[0].content: expected a string, an array of parts or null, found 3");
  });
});

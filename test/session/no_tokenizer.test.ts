/** A model whose folder has no tokenizer: it reads and writes token ids. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { OptionError } from "../../src/base/errors.ts";
import { load, type Model } from "../../src/entry/index.ts";
import { TextStream } from "../../src/tokenizer/stream.ts";
import { good, lambent } from "../cli/run.ts";
import { BOS, FAMILIES, failure, removeTemporary, smallFolder, temporaryFolder, WILD } from "./small.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const FILES = "tokenizer.json, tokenizer.model, or vocab.json and merges.txt";
const NONE = `expected ${FILES}, found none: only token ids can be used`;

/** A folder without a tokenizer, and one with. */
function folders(fixture: string): [bare: string, whole: string] {
  const [bare, whole] = [smallFolder(fixture), smallFolder(fixture)];
  rmSync(join(bare, "tokenizer.json"));
  return [bare, whole];
}

async function idsOf(model: Model): Promise<number[]> {
  const ids: number[] = [];
  const options = { ...WILD, seed: 3, maxNewTokens: 12, ignoreEos: true };
  for await (const { id } of model.generate(PROMPT, options).tokens()) ids.push(id);
  return ids;
}

describe.each(FAMILIES)("%s", (fixture) => {
  test.each([false, true])("worker %p: the same ids as with a tokenizer, and no text", async (worker) => {
    const [bare, whole] = folders(fixture);
    const [model, other] = [await load(bare, { worker }), await load(whole)];
    expect(model.tokenizer.vocabSize).toBe(61);
    expect(await idsOf(model)).toEqual(await idsOf(other));
    const generation = model.generate(PROMPT, { maxNewTokens: 5, ignoreEos: true });
    for await (const token of generation.tokens()) expect(token.text).toBe("");
    expect(await generation.result).toMatchObject({ newTokens: 5, finishReason: "length" });
    model.dispose();
    other.dispose();
  });
});

test("what needs text says which files are missing, and leaves the model usable", async () => {
  const [folder] = folders("gptj");
  const model = await load(folder);
  const { tokenizer } = model;
  const session = await model.session();
  const wanted = `${folder}: ${NONE}`;
  for (const action of [
    () => model.generate("ab").text(),
    () => session.append("ab"),
    () => tokenizer.encode("ab"),
    () => tokenizer.count("ab"),
    () => tokenizer.decode(PROMPT),
  ]) {
    expect((await failure(OptionError, action)).message).toBe(wanted);
  }
  const chat = await failure(OptionError, () => model.generate([{ role: "user", content: "ab" }]).text());
  expect(chat.message).toContain(FILES);
  expect([tokenizer.token(60), tokenizer.id(""), tokenizer.bosTokenId]).toEqual([undefined, undefined, undefined]);
  const stream = new TextStream(tokenizer);
  expect(Array.from({ length: 61 }, (_, id) => stream.push(id) + stream.push(60)).join("")).toBe("");

  await session.append(PROMPT);
  const next = await session.next({ temperature: 0 });
  expect([next.text, session.length]).toEqual(["", PROMPT.length + 1]);
  const restored = await model.restore(await session.snapshot());
  expect((await restored.next({ temperature: 0 })).id).toBe((await session.next({ temperature: 0 })).id);
});

test("the command line: logits of ids work, and what needs text says what is missing", async () => {
  const [folder] = folders("llama-gqa-tied");
  const out = join(temporaryFolder(), "logits.safetensors");
  expect(await good(["logits", "-m", folder, "--ids", "1,2,3", "--out", out])).toMatchObject({ out: "", err: "" });
  for (const command of [
    ["generate", "ab"],
    ["logits", "--text", "ab", "--out", out],
  ]) {
    expect(await lambent([...command, "-m", folder])).toMatchObject({ code: 1, err: `error: ${folder}: ${NONE}\n` });
  }
});

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChildren, start } from "../cli/run.ts";
import { attempt } from "./attempt.ts";
import { CONFIG, type Draft, draftOf, WEIGHTS } from "./draft.ts";
import { CONFIG_CASES, WEIGHT_CASES } from "./model_cases.ts";
import { OPTION_CASES, SHARD_CASES, TOKENIZER_CASES } from "./other_cases.ts";
import { Watch } from "./watch.ts";

setDefaultTimeout(30_000);
/** Of a child that is told no: the program itself, with room to spare. */
const MOST_RESIDENT = 512 * 2 ** 20;
const CASES = [...CONFIG_CASES, ...WEIGHT_CASES, ...TOKENIZER_CASES, ...SHARD_CASES, ...OPTION_CASES];
const FOLDER = mkdtempSync(join(tmpdir(), "lambent-fuzz-"));

let watch: Watch;
beforeAll(() => {
  watch = new Watch();
});
afterAll(async () => {
  watch.end();
  await endChildren();
  rmSync(FOLDER, { recursive: true });
});

test.each(CASES.map((one) => [one.title, one] as const))("refused: %s", async (_, { draft, message }) => {
  expect(await attempt(draft(), watch)).toEqual({ refused: expect.stringMatching(message) as unknown as string });
});

test("a trained length of 2^40 is no reason to make room for it", async () => {
  const draft = draftOf("llama-gqa-tied");
  Object.assign(draft.json(CONFIG), { max_position_embeddings: 2 ** 40 });
  expect(await attempt(draft, watch)).toBe("works");
});

/** Writes a draft to disk. */
function folderOf(draft: Draft, name: string): string {
  const folder = join(FOLDER, name);
  mkdirSync(folder);
  for (const [file, content] of draft.render()) {
    if (content === "directory") mkdirSync(join(folder, file));
    else writeFileSync(join(folder, file), content);
  }
  return folder;
}

/** What the command line says of a model in a folder, and how it ends. */
async function tell(folder: string): Promise<{ code: number; out: string; err: string; resident: number }> {
  const child = start(["generate", "--model", folder, "-n", "2", "--seed", "1", "the cat"], "ignore");
  const text = (stream: ReadableStream) => new Response(stream).text();
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
  return { code, out, err, resident: child.resourceUsage()?.maxRSS ?? Infinity };
}

const told = CASES.filter(({ cli }) => cli);
test.each(told.map((one, i) => [one.title, one, i] as const))(
  "the command line says it in one line: %s",
  async (_, { draft, message }, i) => {
    const folder = folderOf(draft(), `${i}`);
    const { code, out, err, resident } = await tell(folder);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^error: [^\p{Cc}\u2028\u2029]{1,900}\n$/u);
    expect(err).toStartWith(`error: ${folder}`);
    expect(err.slice(0, -1)).toMatch(message);
    // Linux counts the peak of the process that forked, too.
    expect(resident).toBeLessThan(MOST_RESIDENT + 1024 * process.resourceUsage().maxRSS);
  },
);

test.skipIf(process.platform === "win32")(
  "a named pipe in place of a file is refused, and not waited for",
  async () => {
    for (const file of [CONFIG, WEIGHTS]) {
      const folder = folderOf(draftOf("gptj"), `pipe-${file}`);
      rmSync(join(folder, file));
      expect(Bun.spawnSync(["mkfifo", join(folder, file)]).exitCode).toBe(0);
      const { code, err } = await tell(folder);
      expect({ code, err }).toEqual({
        code: 1,
        err: `error: ${join(folder, file)}: expected a file, found something else\n`,
      });
    }
  },
);

test("the name of a tensor that is not used cannot write lines or colours of its own", async () => {
  const draft = draftOf("gptj");
  draft.tensors().push({ name: "x\nerror: y\u001b[31m", dtype: "U8", shape: [1], bytes: new Uint8Array(1) });
  const { code, err } = await tell(folderOf(draft, "unused"));
  expect({ code, lines: err.trimEnd().split("\n").length }).toEqual({ code: 0, lines: 1 });
  expect(err).toMatch(/^warning: [^\p{Cc}]+ is not used\n$/u);
});

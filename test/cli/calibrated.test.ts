/** Commands that load a model take what its recall.json says, where recall is asked for. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { embeddedFolder, removeTemporary, temporaryFolder } from "../session/small.ts";
import { good, lambent } from "./run.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

function calibrated(content: object): string {
  const folder = embeddedFolder({ chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}" });
  writeFileSync(join(folder, "recall.json"), JSON.stringify(content));
  return folder;
}

const RECALL = ["--recall", "2", "--n-local", "64", "--threads", "1"];

test("generate says what it has taken from it", async () => {
  const model = calibrated({ recallHeads: [[4, 1, -2]], recallDistance: 9 });
  const run = ["generate", "x", "-m", model, "-n", "2", "--stats"];
  expect((await good([...run, ...RECALL])).err).toContain(
    "recallDistance 9, recallGate none, recallLayers 4, recallHeads 4:1:-2",
  );
  expect((await good([...run, ...RECALL, "--recall-heads", "all"])).err).toMatch(/recallDistance 9,.*recallHeads all/);
});

const COMMANDS: readonly (readonly string[])[] = [
  ["generate", "x"],
  ["chat"],
  ["embed", "x"],
  ["logits", "--ids", "1,2", "--out", join(temporaryFolder(), "logits.safetensors")],
];
test.each([...COMMANDS])("%s refuses one that is wrong, by its name", async (...command) => {
  const model = calibrated({ recallGate: "x" });
  const { code, err } = await lambent([...command, "-m", model, ...RECALL]);
  expect(code).toBe(1);
  expect(err).toContain(`${join(model, "recall.json")}: recallGate: expected a number from -100 to 100, found x`);
  expect((await lambent([...command, "-m", model, "--n-local", "64"])).code).toBe(0);
});

test.each([...COMMANDS])("%s refuses flags that say how to look back where nothing does", async (...command) => {
  const { code, err } = await lambent([...command, "--recall-gate", "none"]);
  expect([code, err]).toEqual([2, "error: --recall: expected a number beside --recall-gate, found none\n"]);
});

test("a gate of it is switched off, and numbers that are none are told with the words that are", async () => {
  const model = calibrated({ recallGate: -2 });
  const run = ["inspect", "-m", model, ...RECALL];
  expect((await good(run)).out).toContain("recallGate -2");
  expect((await good([...run, "--recall-gate", "none"])).out).toContain("recallGate none");
  for (const [flag, expected] of [
    ["--recall-gate", "expected none, or a number from -100 to 100, found x"],
    ["--recall-blocks", "expected all, or a whole number from 1 to 8192, found x"],
    ["--recall-heads", "expected all, or layers and heads, such as 5:1, found x"],
  ] as const) {
    const { code, err } = await lambent([...run, flag, "x"]);
    expect([code, err.includes(expected)]).toEqual([2, true]);
  }
});

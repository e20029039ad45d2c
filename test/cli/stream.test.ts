/** `eval stream` as people run it: killed, interrupted, damaged. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EMBEDDED, removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { endChildren, good, lambent, readUntil, start } from "./run.ts";

setDefaultTimeout(120_000);
afterEach(endChildren);
afterAll(removeTemporary);

const TEXTS = temporaryFolder();
for (const [i, word] of ["the cab", "no banana on a", "and the"].entries()) {
  writeFileSync(join(TEXTS, `${i}.txt`), `${`${word}, he said.\n`.repeat(5)}${word.repeat(30 * i)}\n`);
}
const TINY = smallFolder("llama-gqa-tied");

const command = (model: string, out: string, tokens: number) => [
  ...["eval", "stream", "--model", model, "--text", TEXTS, "--out", out, "--tokens", `${tokens}`, "--threads", "1"],
];
const scratch = (out: string) => join(out, "stream.partial");
const checkpoints = (out: string) => {
  const journal = join(scratch(out), "journal.jsonl");
  return existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length - 2 : 0;
};

/** What a run has found: everything but times and memory. */
function found(out: string) {
  const { intervals, rounds } = JSON.parse(readFileSync(join(out, "stream.json"), "utf8"));
  const numbers = intervals.map(({ position, tokens, nll, notFinite }: Record<string, number>) => {
    return { position, tokens, nll, notFinite };
  });
  return { numbers, rounds };
}

test("killed at any moments, it goes on with the numbers of an unbroken run", async () => {
  const whole = temporaryFolder();
  const kept = temporaryFolder();
  await good([...command(EMBEDDED, whole, 2000), "--report-every", "300"]);
  const args = [...command(EMBEDDED, kept, 2000), "--report-every", "300", "--checkpoint-every", "100"];
  for (let kill = 0; kill < 5; kill++) {
    const before = checkpoints(kept);
    const child = start(args, "ignore");
    // The first one before or while it loads, the others while it reads.
    while (kill > 0 && child.exitCode === null && checkpoints(kept) === before) await Bun.sleep(5);
    await Bun.sleep(150 * Math.random());
    child.kill("SIGKILL");
    await child.exited;
  }
  if (existsSync(join(kept, "stream.json"))) throw new Error("it had ended before it was killed");
  expect(checkpoints(kept)).toBeGreaterThan(0);
  // As if a kill had come between a snapshot and its line.
  writeFileSync(join(scratch(kept), "snapshot-1999.safetensors"), "cut");
  appendFileSync(join(scratch(kept), "journal.jsonl"), `["${checkpoints(kept)}",{"snapshot":"snapshot-1999`);
  const { out } = await good(args);
  expect(found(kept)).toEqual(found(whole));
  expect(found(kept).numbers.map(({ position }: { position: number }) => position)).toEqual([
    ...[300, 600, 900, 1200, 1500, 1800, 2000],
  ]);
  expect(found(kept).rounds.length).toBeGreaterThan(1);
  expect(out.split("\n")).toHaveLength(7 + 3);
  expect(out).toContain("nats per token in the last tenth");
  expect(readdirSync(kept).sort()).toEqual(["stream.csv", "stream.json", "stream.svg"]);
  expect(readFileSync(join(kept, "stream.csv"), "utf8").split("\n")).toHaveLength(7 + 2);
  expect(readFileSync(join(kept, "stream.svg"), "utf8")).toContain("position (tokens)");
});

/** A folder in which a run of a tiny model was interrupted, and the arguments that go on with it. */
async function interrupted() {
  const out = temporaryFolder();
  const args = [...command(TINY, out, 200_000_000), "--report-every", "2k", "--checkpoint-every", "1k"];
  const child = start(args, "ignore");
  const reader = child.stdout.getReader();
  const begin = await readUntil(reader, (text) => text.split("\n").length > 3);
  child.kill("SIGINT");
  const [rest, err] = await Promise.all([readUntil(reader, () => false), new Response(child.stderr).text()]);
  return { out, args, table: begin + rest, err, code: await child.exited };
}
const first = interrupted();

/** A copy of that folder in which something is changed; the error of a run that shall go on there. */
async function refused(change: (out: string) => void, more: readonly string[] = []): Promise<string> {
  const { out, args } = await first;
  const copy = temporaryFolder();
  cpSync(out, copy, { recursive: true });
  change(copy);
  const run = await lambent([...args.map((word) => (word === out ? copy : word)), ...more]);
  const { err } = run;
  expect(run).toEqual({ code: 1, out: "", err });
  expect(err).toMatch(/^error: [^\n]+\n$/);
  return err;
}
const snapshotOf = (out: string) => {
  const name = readdirSync(scratch(out)).find((file) => file.startsWith("snapshot-")) as string;
  return join(scratch(out), name);
};

describe("Ctrl-C", () => {
  test("keeps what was read, and says so", async () => {
    const { out, code, err, table } = await first;
    expect(code).toBe(130);
    expect(err).toMatch(/^\d+ of 200000000 tokens are kept: the same command goes on from there\n$/);
    expect(snapshotOf(out)).toEndWith(`snapshot-${Number.parseInt(err, 10)}.safetensors`);
    expect(readdirSync(scratch(out))).toHaveLength(2);
    expect(table.split("\n").length).toBeGreaterThan(3);
  });
});

describe("a checkpoint is refused", () => {
  test("if its snapshot is damaged", async () => {
    const error = await refused((out) => {
      const bytes = readFileSync(snapshotOf(out));
      bytes[bytes.length - 100] = (bytes[bytes.length - 100] as number) ^ 1;
      writeFileSync(snapshotOf(out), bytes);
    });
    expect(error).toMatch(/snapshot-\d+.safetensors: snapshot: checksum: .* damaged \(--restart starts over\)/);
  });

  test("if its snapshot is gone", async () => {
    expect(await refused((out) => rmSync(snapshotOf(out)))).toMatch(
      /expected the snapshot of the last checkpoint \(--restart starts over\), found ENOENT/,
    );
  });

  test("if the journal is damaged", async () => {
    const error = await refused((out) => {
      const path = join(scratch(out), "journal.jsonl");
      writeFileSync(path, readFileSync(path, "utf8").replace('["0",', '["0"'));
    });
    expect(error).toContain("journal.jsonl: expected lines of JSON (--restart starts over)");
  });

  test("if the run is another", async () => {
    expect(await refused(() => {}, ["--seed", "2"])).toContain("found one with seed 1");
    expect(await refused(() => {}, ["--n-local", "32"])).toContain("found one with nLocal 64");
  });
});

test("attention that grows with the text reads no more than it has room for", async () => {
  const run = await lambent([...command(TINY, temporaryFolder(), 1000), "--attention", "full"]);
  expect(run).toEqual({
    code: 1,
    out: "",
    err: "error: tokens: expected at most 64 under full attention (--max-positions), found 1000\n",
  });
});

test("lengths may be written short", async () => {
  const { out, err, code } = await lambent([...command(TINY, temporaryFolder(), 1), "--tokens", "2.5"]);
  expect({ out, code }).toEqual({ out: "", code: 2 });
  expect(err).toMatch(/--tokens.*'2.5' is invalid.*whole number from 1 on/);
  const folder = temporaryFolder();
  await good([...command(TINY, folder, 1), "--tokens", "0.5k", "--report-every", "250"]);
  expect(found(folder).numbers.map(({ position }: { position: number }) => position)).toEqual([250, 500]);
});

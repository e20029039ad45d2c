/** Places that take no more: every write that fails is an error of one line and exit code 1, early or late. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { ROOT } from "../setup.ts";
import { endChildren, lambent } from "./run.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);
afterEach(endChildren);

const MODEL = smallFolder("gptj");
const NO_ROOM = (thing: string, code: string) => `error: ${thing}: expected a writable file, found ${code}\n`;

/** Runs the command line in a shell that does what `before` says, and sends its outputs to where `after` says. */
async function shell(args: readonly string[], { before = "", after = "" }) {
  const command = ["sh", "-c", `${before} "$0" "$@" ${after}`, process.execPath, "research/cli/main.ts", ...args];
  const child = Bun.spawn(command, { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const text = (stream: ReadableStream) => new Response(stream).text();
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
  return { code, out, err };
}

describe.skipIf(!existsSync("/dev/full"))("a full device (needs /dev/full)", () => {
  const printing: string[][] = [
    ["generate", "ab", "-m", MODEL, "-n", "3", "--seed", "1"],
    ["generate", "ab", "-m", MODEL, "-n", "3", "--seed", "1", "--output", "jsonl", "--stats"],
    ["inspect", "-m", MODEL],
    ["inspect", "-m", MODEL, "--json"],
    ["--help"],
    ["generate", "--help"],
    ["--version"],
  ];
  test.each(printing.map((args) => [args.join(" "), args] as const))("as standard output of %s", async (_, args) => {
    expect(await shell(args, { after: "> /dev/full" })).toEqual({
      ...{ code: 1, out: "", err: NO_ROOM("standard output", "ENOSPC") },
    });
  });

  test("as standard error: the exit code tells", async () => {
    const args = ["generate", "ab", "-m", MODEL, "-n", "3", "--seed", "1", "--stats"];
    expect(await shell(args, { after: "2> /dev/full" })).toMatchObject({ code: 1 });
    expect(await shell(["frobnicate"], { after: "2> /dev/full" })).toMatchObject({ code: 2 });
  });

  test("as standard output of an evaluation", async () => {
    const text = join(temporaryFolder(), "text.txt");
    writeFileSync(text, "the cab, he said. ".repeat(40));
    const args = ["eval", "nll", "-m", MODEL, "--text", text, "--length", "100", "--out", temporaryFolder()];
    const { code, err } = await shell(args, { after: "> /dev/full" });
    expect({ code, err }).toEqual({ code: 1, err: NO_ROOM("standard output", "ENOSPC") });
  });

  test("as --out of logits", async () => {
    expect(await lambent(["logits", "-m", MODEL, "--ids", "1,2", "--out", "/dev/full"])).toEqual({
      ...{ code: 1, out: "", err: NO_ROOM("/dev/full", "ENOSPC") },
    });
  });
});

describe("a file that becomes too large on the way, as on a disk that becomes full", () => {
  /** Files of 512 bytes a block; the shell would otherwise end what writes beyond. */
  const limit = (blocks: number) => ({ before: `trap '' XFSZ; ulimit -f ${blocks}; exec` });

  test("logits: what was written is taken away", async () => {
    const out = join(temporaryFolder(), "logits.safetensors");
    const ids = Array.from({ length: 40 }, (_, i) => i % 8).join();
    expect(await shell(["logits", "-m", MODEL, "--ids", ids, "--out", out], limit(4))).toEqual({
      ...{ code: 1, out: "", err: NO_ROOM(out, "EFBIG") },
    });
    expect(existsSync(out)).toBe(false);
  });

  test("an evaluation: files are there as a whole or not at all, and the same command goes on", async () => {
    const folder = temporaryFolder();
    const text = join(folder, "text.txt");
    writeFileSync(text, "the cab, he said. ".repeat(400));
    const out = join(folder, "out");
    const args = ["eval", "nll", "-m", MODEL, "--text", text, "--length", "1000", "--out", out];
    const { code, err } = await shell(args, limit(12));
    expect({ code, err }).toEqual({ code: 1, err: NO_ROOM(join(out, "nll.json"), "EFBIG") });
    expect(readdirSync(out)).toEqual(["nll.partial"]);
    expect((await lambent(args)).err).toContain("going on");
    expect(readdirSync(out)).toContain("nll.csv");
  });
});

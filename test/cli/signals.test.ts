/** Interrupts, and readers that close the pipe. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { ROOT } from "../setup.ts";
import { endChildren, good, readUntil, start, statsOf } from "./run.ts";

setDefaultTimeout(30_000);
afterEach(endChildren);

/** The embedded model, talking until it is stopped. */
const ENDLESS = ["generate", "Once", "-n", "-1", "--ignore-eos", "--seed", "1", "--output", "jsonl"];
const INTERRUPTED = 130;

test("Ctrl-C while it writes: exit code 130, and every token that was chosen is there", async () => {
  const child = start([...ENDLESS, "--stats", "json"], "ignore");
  const out = child.stdout.getReader();
  const begin = await readUntil(out, (text) => text.split("\n").length > 20);
  child.kill("SIGINT");
  const [rest, err] = await Promise.all([readUntil(out, () => false), new Response(child.stderr).text()]);
  expect(await child.exited).toBe(INTERRUPTED);
  expect(begin + rest).toEndWith("}\n");
  const tokens = (begin + rest)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(statsOf({ err })).toMatchObject({ finishReason: "abort", newTokens: tokens.length });
  expect(err).not.toContain("error");
  // It is the text that would have gone on.
  const more = await good([...ENDLESS.filter((word) => word !== "-1").toSpliced(3, 0, `${tokens.length}`)]);
  expect(more.out).toStartWith(begin + rest);
});

test("Ctrl-C while it reads a long prompt", async () => {
  const child = start(
    ["generate", "-n", "5", "--stats", "json"],
    new TextEncoder().encode("Once upon a time. ".repeat(50_000)),
  );
  const errors = child.stderr.getReader();
  const begin = await readUntil(errors, (text) => /^seed \d+$/m.test(text));
  child.kill("SIGINT");
  const [out, rest] = await Promise.all([new Response(child.stdout).text(), readUntil(errors, () => false)]);
  expect(await child.exited).toBe(INTERRUPTED);
  expect(out).toBe("");
  expect(statsOf({ err: begin + rest })).toMatchObject({ finishReason: "abort", newTokens: 0 });
});

test("Ctrl-C while it waits for a prompt, of which it has told", async () => {
  const child = start(["generate"], "pipe");
  const errors = child.stderr.getReader();
  const begin = await readUntil(errors, (text) => text.endsWith("\n"));
  expect(begin).toBe("reading the prompt from standard input, up to its end\n");
  child.kill("SIGINT");
  const [out, rest] = await Promise.all([new Response(child.stdout).text(), readUntil(errors, () => false)]);
  expect({ out, rest, code: await child.exited }).toEqual({ out: "", rest: "", code: INTERRUPTED });
}, 10_000);

test("a reader who has had enough: it ends, and says nothing of it", async () => {
  const command = `{ "$0" "$@"; echo "code $?" >&2; } | head -c 10`;
  const args = ["sh", "-c", command, process.execPath, "src/cli/main.ts", ...ENDLESS];
  const child = Bun.spawn(args, { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: ROOT });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(out).toHaveLength(10);
  expect(err).toBe("code 0\n");
});

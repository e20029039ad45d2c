/** A process that reads with a log and snapshots is killed at random moments: it goes on from the last one, with every bit. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "../../src/entry/index.ts";
import { FIXTURES } from "../setup.ts";
import { LOGGED, PIECE, pieceOf, TOKENS } from "./log_text.ts";

/** How often it is killed: FULL=1 as often as the issue says. */
const KILLS = process.env.FULL ? 200 : 8;
setDefaultTimeout(KILLS * 5000 + 60_000);

test("a reader that is killed goes on from its last snapshot: no segment is missing, every answer is the undisturbed one's", async () => {
  const where = join(FIXTURES, "gptj");
  const folder = mkdtempSync(join(tmpdir(), "lambent-kills-"));
  const model = await load(where, { ...LOGGED, recallMemory: undefined });
  const session = await model.session({ seed: 1 });
  /** What is answered behind so many tokens. */
  const answers = new Map<number, string>();
  for (; session.length <= TOKENS; await session.append(pieceOf(session.length))) {
    const fork = await session.fork();
    const { logitsHash } = await fork.generate([5], { maxNewTokens: 8, doSample: false, ignoreEos: true }).result;
    answers.set(session.length, logitsHash);
    fork.dispose();
  }
  model.dispose();
  let kills = 0;
  let answered = 0;
  let furthest = 0;
  try {
    while (kills < KILLS) {
      const child = spawn(process.execPath, [join(import.meta.dir, "log_child.ts"), folder, where]);
      let out = "";
      let wrong = "";
      child.stdout.on("data", (data) => {
        out += data;
      });
      child.stderr.on("data", (data) => {
        wrong += data;
      });
      const ended = new Promise((resolve) => child.on("exit", resolve));
      const killer = setTimeout(() => child.kill("SIGKILL"), 150 + Math.random() * 700);
      await ended;
      clearTimeout(killer);
      expect(wrong).toBe("");
      const [first = "", ...pieces] = out.split("\n");
      const [length, hash] = first.split(" ");
      if (hash !== undefined) {
        expect(Number(length)).toBeGreaterThanOrEqual(furthest);
        expect(hash).toBe(answers.get(Number(length)) as string);
        answered++;
        furthest = Math.max(furthest, Number(length), ...pieces.map((piece) => Number(piece) * PIECE));
      }
      kills++;
      if (furthest < TOKENS) continue;
      rmSync(folder, { recursive: true });
      mkdirSync(folder);
      furthest = 0;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${kills} kills, ${answered} answers compared`);
  expect(answered).toBeGreaterThan(KILLS / 4);
});

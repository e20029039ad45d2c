/** Reads a text with a log in a folder, from the last snapshot there on; killed at any moment by log_kills.test.ts. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { load } from "../../src/entry/index.ts";
import { LOGGED, PIECE, pieceOf, SNAPSHOT, TOKENS } from "./log_text.ts";

const [folder = "", where = ""] = process.argv.slice(2);
const model = await load(where, { ...LOGGED, recallStore: folder });
const path = `${folder}/${SNAPSHOT}`;
const session = existsSync(path) ? await model.restore(readFileSync(path)) : await model.session({ seed: 1 });
const fork = await session.fork();
const { logitsHash } = await fork.generate([5], { maxNewTokens: 8, doSample: false, ignoreEos: true }).result;
fork.dispose();
process.stdout.write(`${session.length} ${logitsHash}\n`);
while (session.length < TOKENS) {
  await session.append(pieceOf(session.length));
  writeFileSync(`${path}.new`, await session.snapshot());
  renameSync(`${path}.new`, path);
  process.stdout.write(`${session.length / PIECE}\n`);
}

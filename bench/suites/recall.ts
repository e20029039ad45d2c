import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LoadOptions, load, type Model, type Session } from "../../src/entry/index.ts";
import { fileLog, type LogStore } from "../../src/entry/stores.ts";
import type { LayerHead } from "../../src/plan/middle.ts";
import { median } from "../interleave.ts";
import { Report } from "../report.ts";
import { modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";
import { answer, NEW_TOKENS } from "./recall_answer.ts";
import { askInChromium, segmentFiles } from "./recall_browser.ts";

/** A sentence that stands behind the first HIDDEN tokens of the text, and how its number is asked for behind all others. */
const SENTENCE = " The number of the safe is 48213. ";
const ANSWER = "48213";
const HIDDEN = 1000;
/** Tokens of a call that reads. */
const PIECE = 8192;

export interface RecallFlags extends SuiteFlags {
  readonly model: string;
  readonly text: string[];
  readonly lengths: number[];
  readonly nLocal: number;
  readonly recall: number;
  readonly recallLayers?: number[];
  readonly recallHeads?: LayerHead[];
  readonly recallDistance?: number;
  readonly recallBlocks?: number;
  readonly memory: number;
  readonly threads: number;
  readonly folder?: string;
  readonly browser?: boolean;
}

/** What a store was asked for within steps. */
class Counted {
  reads = 0;
  bytes = 0;
  readonly store: LogStore;

  constructor(folder: string) {
    const files = fileLog(folder);
    this.store = {
      put: (name, bytes) => files.put(name, bytes),
      get: (name) => files.get(name),
      delete: (name) => files.delete(name),
      read: (name, offset, into) => {
        this.reads++;
        this.bytes += into.length;
        files.read?.(name, offset, into);
      },
    };
  }
}

/**
 * A token of a session that looks back into a log, beside one of a session without recall: its time, what it reads of files
 * that are in the page cache and that are not, memory, and what is on disk; and whether it finds the hidden sentence.
 */
export async function recall(flags: RecallFlags): Promise<void> {
  const { model: where, threads, nLocal, memory } = flags;
  const { recallLayers, recallHeads, recallDistance, recallBlocks } = flags;
  const report = new Report(`recall${modelSuffix(where)}`, resultsOf(flags));
  const lengths = flags.quick ? [3000] : [...flags.lengths].sort((a, b) => a - b);
  const folder = flags.folder ?? mkdtempSync(join(tmpdir(), "lambent-recall-"));
  mkdirSync(folder, { recursive: true });
  const log = new Counted(join(folder, "segments"));
  const common: LoadOptions = { nLocal, threads, cacheDtype: "bf16", maxSessions: 2 };
  const most = lengths.at(-1) as number;
  const looking = {
    recall: flags.recall,
    recallLayers,
    recallHeads,
    recallDistance,
    recallBlocks,
    recallTokens: most,
    recallMemory: memory * 2 ** 20,
  };
  const rounds = flags.quick ? 1 : 5;
  const model = await load(where, { ...common, ...looking, recallStore: log.store });
  const plain = await load(where, common);
  const ids = textOf(model, flags.text, most);
  const add = report.table("a token at the end of a text", {
    ...{ tokens: "tokens", recall: "ms", without: "without recall, ms", ratio: "ratio" },
    ...{ cold: "files not in memory, ms", reads: "reads", bytes: "bytes read" },
    ...{ slotMb: "session, MB", rssMb: "process, MB", logMb: "log, MB", snapshotMb: "snapshot, MB", found: "found" },
  });
  const page = flags.browser
    ? report.table("the same in Chromium, the log in its private files", {
        ...{ tokens: "tokens", browser: "browser", recall: "ms", without: "without recall, ms", ratio: "ratio" },
        ...{ cold: "files not in memory, ms", restoreMs: "restored in, ms", found: "found" },
      })
    : undefined;
  const session = await model.session({ seed: 1 });
  const other = await plain.session({ seed: 1 });
  await other.append(ids.slice(0, 2 * nLocal));
  let current: Session = session;
  for (const length of lengths) {
    current = await readTo(model, current, ids, length, join(folder, `${length}.snapshot`));
    const snapshot = await current.snapshot();
    const times = { warm: [] as number[], without: [] as number[], cold: [] as number[] };
    let [text, reads, bytes] = ["", 0, 0];
    for (let round = 0; round < rounds; round++) {
      if (dropCaches()) times.cold.push((await answer(current)).ms);
      [log.reads, log.bytes] = [0, 0];
      const found = await answer(current);
      [text, reads, bytes] = [found.text, log.reads / NEW_TOKENS, log.bytes / NEW_TOKENS];
      times.warm.push(found.ms);
      times.without.push((await answer(other)).ms);
    }
    const files = segmentFiles(join(folder, "segments"));
    add({
      ...{ tokens: length, recall: median(times.warm), without: median(times.without) },
      ratio: median(times.warm.map((ms, i) => ms / (times.without[i] as number))),
      cold: times.cold.length > 0 ? median(times.cold) : undefined,
      ...{ reads, bytes, slotMb: model.info.cacheBytes / 1e6, rssMb: process.memoryUsage.rss() / 1e6 },
      logMb: files.reduce((sum, name) => sum + statSync(join(folder, "segments", name)).size, 0) / 1e6,
      ...{ snapshotMb: snapshot.length / 1e6, found: foundIn(text) },
    });
    if (!page) continue;
    const options = { ...common, ...looking, worker: true };
    const there = await askInChromium(where, join(folder, "segments"), snapshot, { options, rounds }, dropCaches);
    page({
      ...{ tokens: length, browser: there.browser, recall: median(there.warm), without: median(there.alone) },
      ratio: median(there.warm.map((ms, i) => ms / (there.alone[i] as number))),
      cold: times.cold.length > 0 ? median(there.cold) : undefined,
      ...{ restoreMs: there.restoreMs, found: foundIn(there.text) },
    });
  }
  for (const one of [model, plain]) one.dispose();
  if (!flags.folder) rmSync(folder, { recursive: true });
  await report.write();
}

const foundIn = (text: string) => (text.includes(ANSWER) ? "yes" : `no: ${text.trim().slice(0, 20)}`);

/** The tokens of the texts, one after the other and again as long as they do not suffice, with the hidden sentence. */
function textOf({ tokenizer }: Model, files: readonly string[], most: number): number[] {
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const ids = [...tokenizer.encode("")];
  while (ids.length < most) {
    for (const file of files) {
      const text = readFileSync(file, "utf8");
      for (let at = 0; at < text.length && ids.length < most; at += 100_000) {
        for (const id of encode(text.slice(at, at + 100_000))) ids.push(id);
      }
    }
  }
  ids.splice(HIDDEN, 0, ...encode(SENTENCE));
  return ids.slice(0, most);
}

/** The session behind so many tokens: read on, or as an earlier run has left it at `path`. */
async function readTo(model: Model, session: Session, ids: readonly number[], length: number, path: string) {
  if (existsSync(path)) {
    session.dispose();
    return model.restore(readFileSync(path));
  }
  while (session.length < length) {
    await session.append(ids.slice(session.length, Math.min(session.length + PIECE, length)), { recall: false });
  }
  writeFileSync(path, await session.snapshot());
  return session;
}

/** Makes the system forget what of files is in memory; false where that is not allowed. */
function dropCaches(): boolean {
  try {
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    return true;
  } catch {
    return false;
  }
}

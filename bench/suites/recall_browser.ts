import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundlePages } from "../../examples/browser/site.ts";
import { runPage } from "../peers/browser.ts";
import { temporaryFolder } from "../peers/child.ts";

const PAGE = "recall_page";
const TIMEOUT_MS = 900_000;

/** What a page does, and finds. */
export interface PageSetting {
  /** Of `load`, but for the store. */
  readonly options: object;
  readonly rounds: number;
}

/** Milliseconds per token of each round, and the answer. */
export interface PageTimes {
  readonly browser: string;
  readonly restoreMs: number;
  readonly cold: readonly number[];
  readonly warm: readonly number[];
  readonly alone: readonly number[];
  readonly text: string;
}

/** The files of a log's segments. */
export function segmentFiles(log: string): string[] {
  return readdirSync(log).filter((name) => /^\w{16}\.safetensors$/.test(name));
}

/** Moves a session to Chromium, by its snapshot and the folder of its log, and asks it there. `drop` empties the page cache. */
export async function askInChromium(
  model: string,
  log: string,
  snapshot: Uint8Array,
  setting: PageSetting,
  drop: () => void,
): Promise<PageTimes> {
  using made = temporaryFolder();
  const put = (name: string, content: Uint8Array | string) => {
    writeFileSync(join(made.path, name), content);
    return [name, join(made.path, name)] as const;
  };
  const segments = segmentFiles(log);
  const code = await bundlePages([join(import.meta.dirname, `${PAGE}.ts`)]);
  const parts = statSync(model).isDirectory() ? readdirSync(model) : [];
  const where = parts.length > 0 ? "/model" : "/model.gguf";
  const files = Object.fromEntries([
    ...[...code].map(([name, bytes]) => put(name, bytes)),
    ...segments.map((name) => [name, join(log, name)] as const),
    ...[put("snapshot", snapshot), put("setting.json", JSON.stringify({ ...setting, where, segments }))],
    ...(parts.length > 0
      ? parts.map((name) => [`model/${name}`, join(model, name)] as const)
      : [["model.gguf", model] as const]),
  ]);
  return await runPage<PageTimes>(made.path, files[`${PAGE}.js`] as string, files, {}, TIMEOUT_MS, { drop });
}

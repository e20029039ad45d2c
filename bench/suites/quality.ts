import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logSumExp } from "../../src/engine/sampler.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { requireTokenizer } from "../../src/session/load_tokenizer.ts";
import { directory } from "../../src/sources/directory.ts";
import { withOutliers } from "../outliers.ts";
import { Report } from "../report.ts";
import { CACHE_DTYPES, DTYPES, type Setup, Subject } from "../subject.ts";
import { resultsOf, type SuiteFlags } from "./options.ts";

const MODELS = ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"];
const MODELS_AT = new URL("../../models/", import.meta.url).pathname;
/** Novels that no model has seen. They are not part of the project. */
const HELD_OUT = new URL("../../../shared/text/heldout.tar.xz", import.meta.url).pathname;
/** Tokens that are scored together: what the models were trained at. */
const WINDOW = 512;
/** What a format may cost, in per cent of f32's perplexity. */
const WEIGHT_BOUNDS: Readonly<Record<string, number>> = { bf16: 0.1, f16: 0.1, q8: 0.1, q7: 0.1, q4: 2 };
const CACHE_BOUNDS: Readonly<Record<string, number>> = { bf16: 0.1, int8: 0.2 };

export interface QualityFlags extends SuiteFlags {
  readonly models?: string[];
  readonly dtypes?: string[];
  readonly cacheDtypes?: string[];
  readonly tokens: number;
  readonly threads: number;
}

/** Perplexity of novels under every format of weights and cache beside f32, of models as trained and with outliers. */
export async function quality(flags: QualityFlags): Promise<void> {
  if (!existsSync(HELD_OUT))
    return console.log("quality: skipped: the held-out novels (shared/text) are not provided here");
  const report = new Report("quality", resultsOf(flags));
  const add = report.table("perplexity", {
    model: "model",
    channels: "channels",
    dtype: "weights",
    cacheDtype: "cache",
    perplexity: "perplexity",
    percent: "over f32, %",
    bound: "bound, %",
    verdict: "verdict",
  });
  const folder = mkdtempSync(join(tmpdir(), "lambent-quality-"));
  try {
    execFileSync("tar", ["-xJf", HELD_OUT, "-C", folder]);
    for (const model of flags.models ?? MODELS.slice(0, flags.quick ? 1 : undefined)) {
      const trained = join(MODELS_AT, model);
      const windows = await windowsOf(trained, join(folder, "heldout"), flags.quick ? 2 * WINDOW : flags.tokens);
      report.note(`${model}: ${windows.length} windows of ${WINDOW} tokens`);
      const outliers = join(folder, model);
      await withOutliers(trained, outliers);
      for (const [channels, path] of Object.entries({ "as trained": trained, outliers })) {
        let base = Number.NaN;
        for (const { dtype, cacheDtype, bound } of formats(flags)) {
          const perplexity = await score(path, { dtype, cacheDtype, threads: flags.threads }, windows);
          if (bound === undefined) base = perplexity;
          const percent = bound === undefined ? undefined : 100 * (perplexity / base - 1);
          const verdict =
            percent === undefined || bound === undefined ? undefined : percent <= bound ? "within" : "OVER";
          add({ model, channels, dtype, cacheDtype, perplexity, percent, bound, verdict });
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  await report.write();
}

/** f32 first, which has no bound; then each format alone. */
function* formats({ quick, dtypes, cacheDtypes }: QualityFlags) {
  const other = (list: readonly string[]) => list.filter((name) => name !== "f32").slice(0, quick ? 1 : undefined);
  yield { dtype: "f32", cacheDtype: "f32", bound: undefined };
  for (const dtype of other(dtypes ?? DTYPES)) yield { dtype, cacheDtype: "f32", bound: WEIGHT_BOUNDS[dtype] ?? 0.1 };
  for (const cacheDtype of other(cacheDtypes ?? CACHE_DTYPES)) {
    yield { dtype: "f32", cacheDtype, bound: CACHE_BOUNDS[cacheDtype] ?? 0.1 };
  }
}

/** Some `tokens` tokens in windows, equally many from each novel, each begun as the model's texts begin. */
async function windowsOf(model: string, texts: string, tokens: number): Promise<number[][]> {
  const checkpoint = await openDirectory(directory(model));
  try {
    const tokenizer = await requireTokenizer(checkpoint);
    const begin = tokenizer.encode("");
    const novels = readdirSync(texts)
      .filter((file) => file.startsWith("prose_"))
      .sort();
    const each = Math.max(1, Math.round(tokens / WINDOW / novels.length));
    const windows: number[][] = [];
    for (const file of novels) {
      // 8 characters a token are more than there are.
      const text = readFileSync(join(texts, file), "utf8").slice(0, 8 * WINDOW * each);
      const ids = tokenizer.encode(text).slice(begin.length);
      const length = WINDOW - begin.length;
      for (let i = 0; i < each; i++) windows.push([...begin, ...ids.slice(i * length, (i + 1) * length)]);
    }
    return windows.slice(0, Math.max(1, Math.round(tokens / WINDOW)));
  } finally {
    await checkpoint.close();
  }
}

/** exp of the mean negative log-likelihood of every token but the first of each window. */
async function score(model: string, setup: Setup, windows: readonly (readonly number[])[]): Promise<number> {
  const subject = await Subject.open(model, setup);
  const { engine } = subject;
  let nll = 0;
  let count = 0;
  for (const window of windows) {
    const session = engine.open(0, 0);
    await engine.forward(session, window, (logits, position) => {
      const next = window[position + 1];
      if (next === undefined) return;
      nll += logSumExp(logits) - (logits[next] as number);
      count++;
    });
    engine.dispose(session);
  }
  await subject.close();
  return Math.exp(nll / count);
}

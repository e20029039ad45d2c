import { basename, isAbsolute } from "node:path";
import { VERSION } from "../../src/base/version.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags } from "../../src/cli/options.ts";
import type { Stages } from "../../src/cli/progress.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { dtypesOf } from "../../src/engine/snapshot.ts";
import { type Planned, plannerOf } from "../../src/plan/plan_checkpoint.ts";
import { calibrated } from "../../src/session/calibration.ts";
import { chooseKernels } from "../../src/session/engine_info.ts";
import { type LoadOptions, loadEngine, withCheckpoint } from "../../src/session/load.ts";
import { requireTokenizer } from "../../src/session/load_tokenizer.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { bosOf } from "../eval/document.ts";

/** A model under evaluation: loaded anew for every policy, one at a time. */
export interface Subject {
  readonly name: string;
  /** Its folder or GGUF file. */
  readonly place: string;
  readonly tokenizer: Tokenizer;
  /** The token that documents begin with; undefined: none. */
  readonly bos: number | undefined;
  readonly config: Readonly<Record<string, unknown>>;
  readonly layers: number;
  /** Tokens. */
  readonly trainedLength: number;
  /** The model planned with these options in place of the flags', which refuses bad ones. */
  plan(options: LoadOptions): Planned;
  /** An engine by the flags of the command, with these options in place of theirs. */
  engine(options: LoadOptions): Promise<Engine>;
  /** What results depend on beside their parameters: the command, versions, formats, threads. */
  readonly facts: Readonly<Record<string, string | number>>;
}

/** Lends the model of the flags to `work`. */
export function withSubject<T>(
  flags: ModelFlags,
  signal: AbortSignal,
  stages: Stages,
  work: (subject: Subject) => Promise<T>,
): Promise<T> {
  const name = flags.model ?? DEFAULT_MODEL;
  // Evaluations have a recall of their own.
  const asked = loadOptions({ recall: 0, ...flags }, signal, stages);
  return withCheckpoint(name, asked, async (checkpoint, runtime) => {
    const options = await calibrated(asked, checkpoint);
    const tokenizer = await requireTokenizer(checkpoint);
    const { kernels, threads } = await chooseKernels(options, runtime);
    const planner = await plannerOf(checkpoint, () => kernels);
    const plan = (more: LoadOptions) => planner({ ...options, ...more });
    const planned = plan({});
    const { trainedLength, layers, modelType } = planned.program;
    const engine = async (more: LoadOptions) => {
      const engine = await loadEngine(checkpoint, runtime, { ...options, ...more });
      stages.end();
      return engine;
    };
    const { config } = checkpoint;
    const bos = bosOf(tokenizer, config);
    const facts = {
      ...{ command: commandLine(), lambent: VERSION, runtime: runtime.name },
      ...{ kernels: kernels.build, threads, modelType, dtype: dtypesOf(planned) },
    };
    return work({
      name,
      place: checkpoint.name,
      tokenizer,
      bos,
      config,
      layers: layers.length,
      trainedLength,
      plan,
      engine,
      facts,
    });
  });
}

/** What was typed, but for where files lie on this machine. */
export function commandLine(): string {
  const parts = process.argv.slice(2).map((part) => (isAbsolute(part) ? basename(part) : part));
  return ["lambent", ...parts].join(" ");
}

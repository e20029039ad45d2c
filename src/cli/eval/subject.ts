import type { Engine } from "../../engine.ts";
import { bosOf } from "../../eval/document.ts";
import { type LoadOptions, loadEngine, requireTokenizer, withCheckpoint } from "../../load.ts";
import { planModel } from "../../model/planning.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags } from "../options.ts";
import type { Stages } from "../progress.ts";

/** A model under evaluation: loaded anew for every policy, one at a time. */
export interface Subject {
  readonly name: string;
  readonly tokenizer: Tokenizer;
  /** The token that documents begin with; undefined: none. */
  readonly bos: number | undefined;
  readonly config: Readonly<Record<string, unknown>>;
  readonly layers: number;
  /** Tokens. */
  readonly trainedLength: number;
  /** An engine by the flags of the command, with these options in place of theirs. */
  engine(options: LoadOptions): Promise<Engine>;
}

/** Lends the model of the flags to `work`. */
export function withSubject<T>(
  flags: ModelFlags,
  signal: AbortSignal,
  stages: Stages,
  work: (subject: Subject) => Promise<T>,
): Promise<T> {
  const name = flags.model ?? DEFAULT_MODEL;
  const options = loadOptions(flags, signal, stages);
  return withCheckpoint(name, options, async (checkpoint, runtime) => {
    const tokenizer = await requireTokenizer(checkpoint);
    const { trainedLength, layers } = planModel(checkpoint, options).program;
    const engine = async (more: LoadOptions) => {
      const engine = await loadEngine(checkpoint, runtime, { ...options, ...more });
      stages.end();
      return engine;
    };
    const { config } = checkpoint;
    const bos = bosOf(tokenizer, config);
    return work({ name, tokenizer, bos, config, layers: layers.length, trainedLength, engine });
  });
}

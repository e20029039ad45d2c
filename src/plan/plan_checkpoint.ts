import { Code } from "../../assembly/layout_codes.ts";
import { CACHE_DTYPES, type CacheDType, DTYPES, type DType } from "../base/dtype.ts";
import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import type { Checkpoint, CheckpointHeaders } from "../formats/checkpoint.ts";
import { packedDtype } from "../formats/packed.ts";
import type { Kernels } from "../machine/kernels.ts";
import { hasHead, withoutHead } from "../models/headless.ts";
import { programOf } from "../models/index.ts";
import { type Program, windowsOf } from "../models/program.ts";
import { adapt } from "./adapters.ts";
import { TensorNames } from "./names.ts";
import { logitsRows, type ObserveOptions, resolveObservers } from "./observers.ts";
import { LARGEST_BANK, type Plan, plan } from "./plan.ts";
import { type Policy, type PolicyOptions, resolvePolicy, sharedWindow } from "./policy.ts";
import { withoutTiedCopies } from "./tied.ts";
import { resolveWeights, unusedTensors } from "./weights.ts";

/** How a model is planned; docs/OPTIONS.md describes every option. */
export interface PlanningOptions extends PolicyOptions {
  /**
   * Format of the matrices in memory: "auto" (as stored, the default), "f32", "bf16", "f16", or quantised: "q8", "q7"
   * (faster prefill) or "q4".
   */
  readonly dtype?: DType | "auto" | undefined;
  /** Format of keys and values: "f32" (the default), "bf16", or "int8" with a scale for every 32 numbers of a head. */
  readonly cacheDtype?: CacheDType | undefined;
  /** Tokens of a prompt that are read in one step, 128 by default. Changes no result. */
  readonly chunkSize?: number | undefined;
  /**
   * About how long a session that generates waits for its next token while others read prompts, in ms, 100 by default: they read
   * fewer tokens per step then. Changes no result.
   */
  readonly targetGap?: number | undefined;
  /** Sessions that may be open at once, 16 by default; each takes a slot of equal size. */
  readonly maxSessions?: number | undefined;
  /** The most bytes of one Wasm memory, 4 GiB − 64 KiB by default; larger models are spread over several. */
  readonly bankBytes?: number | undefined;
  /**
   * false: without the matrix that makes logits, which is then neither needed nor in memory: the model embeds and does not
   * generate.
   */
  readonly head?: boolean | undefined;
  /**
   * How many of a session's last tokens repetitionPenalty, noRepeatNgramSize and the like look back at; nLocal by
   * default, or maxPositions under a policy that forgets nothing.
   */
  readonly repeatLastN?: number | undefined;
  /** What steps record beside their results; nothing by default. */
  readonly observe?: ObserveOptions | undefined;
}

/** A model that was planned but not read: its program, and where every byte will be. */
export interface Planned {
  readonly program: Program;
  readonly plan: Plan;
  /** Tensors of the checkpoint that the model does not use. */
  readonly unused: readonly string[];
}

/**
 * Plans a model from its config and the headers of its weight files, keeping equal copies of a tied matrix once;
 * `kernels` is called only if there are two.
 */
export async function planCheckpoint(
  checkpoint: Checkpoint,
  kernels: () => Kernels | Promise<Kernels>,
  options: PlanningOptions,
): Promise<Planned> {
  return (await plannerOf(checkpoint, kernels))(options);
}

/** planCheckpoint for several options: its config is read, and copies of a matrix are compared, once. */
export async function plannerOf(
  checkpoint: Checkpoint,
  kernels: () => Kernels | Promise<Kernels>,
): Promise<(options: PlanningOptions) => Planned> {
  const program = programOfCheckpoint(checkpoint);
  const headers = await withoutTiedCopies(checkpoint, program, kernels);
  return (options) => planModel(headers, options, program);
}

function programOfCheckpoint({ configName, config }: CheckpointHeaders): Program {
  return programOf(config, configName);
}

/** Plans a model under a policy from its program and the headers of its weight files. */
export function planModel(
  checkpoint: CheckpointHeaders,
  options: PlanningOptions,
  whole = programOfCheckpoint(checkpoint),
): Planned {
  const adapted = adapt(options.head === false ? withoutHead(whole) : whole, checkpoint.adapters ?? []);
  const { program } = adapted;
  const dtype = options.dtype ?? "auto";
  if (dtype !== "auto" && !DTYPES.includes(dtype)) {
    throw new OptionError(mismatch("dtype", `one of auto, ${DTYPES.join(", ")}`, dtype));
  }
  const cacheDtype = options.cacheDtype ?? "f32";
  if (!CACHE_DTYPES.includes(cacheDtype)) {
    throw new OptionError(mismatch("cacheDtype", `one of ${CACHE_DTYPES.join(", ")}`, cacheDtype));
  }
  const packed = packedDtype(checkpoint.config, checkpoint.configName);
  if (packed && dtype !== "auto" && dtype !== packed) {
    throw new OptionError(mismatch("dtype", `auto or ${packed}, which ${checkpoint.name} is packed as`, dtype));
  }
  if (packed && adapted.tensors.size > 0) {
    // Norms of the model are folded into its matrices.
    throw new ModelError(mismatch("lora", "none beside a packed model (load the original)", checkpoint.name));
  }
  const tensors = new Map([...checkpoint.tensors, ...adapted.tensors]);
  const resolved = resolveWeights(program, tensors, dtype, checkpoint.name, packed);
  const { layers, trainedLength } = program;
  const policy = resolvePolicy(options, trainedLength, sharedWindow(windowsOf(program)), layers.length);
  // Middle keys are looked up by codes that earlier steps have made.
  const mostRows = policy.recall ? policy.nLocal - (Code.WideBlock - 1) : Infinity;
  const chunkSize = Math.min(count("chunkSize", options.chunkSize ?? 128, 2 ** 16), mostRows);
  const observe = resolveObservers(options.observe, program.layers.length);
  if (observe.nll && !hasHead(program)) throw new OptionError(mismatch("observe.nll", "false without a head", true));
  if (observe.attention && policy.recall) {
    throw new OptionError(mismatch("observe.attention", "recall 0", policy.recall));
  }
  const maxSessions = count("maxSessions", options.maxSessions ?? 16, 2 ** 16);
  const made = plan(program, resolved, policy, {
    cacheDtype,
    chunkSize,
    targetGap: checkGap(options.targetGap ?? 100),
    logitsRows: logitsRows({ chunkSize, maxSessions }, program.vocabSize, observe),
    maxSessions,
    bankBytes: count("bankBytes", options.bankBytes ?? LARGEST_BANK, LARGEST_BANK),
    repeatLastN: lookBack(options.repeatLastN, policy),
    observe,
  });
  const stored = new TensorNames(checkpoint.tensors, checkpoint.name);
  const left = [...whole.weights.values()].filter(({ name }) => !program.weights.has(name));
  const ofHead = left.flatMap(({ tensors }) => tensors.map((name) => stored.find(name)?.name));
  const unused = unusedTensors(program, resolved, checkpoint.tensors).filter((name) => !ofHead.includes(name));
  return { program, plan: made, unused };
}

function checkGap(targetGap: number): number {
  if (targetGap > 0) return targetGap;
  throw new OptionError(mismatch("targetGap", "milliseconds above 0", targetGap));
}

function lookBack(given: number | undefined, { nLocal, maxPositions }: Policy): number {
  if (given === undefined) return nLocal === Infinity ? maxPositions : nLocal;
  return count("repeatLastN", given, 2 ** 24);
}

function count(name: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new OptionError(mismatch(name, `a whole number from 1 to ${max}`, value));
}

import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { type Checkpoint, RECALL_FILE, recallFileOf } from "../formats/checkpoint.ts";
import { decodeUtf8, parseObject } from "../formats/json.ts";
import { HEADS, isGate, isHead, LARGEST_GATE } from "../plan/middle.ts";
import type { PolicyOptions } from "../plan/policy.ts";

type Calibrated = Pick<PolicyOptions, "recallLayers" | "recallHeads" | "recallDistance" | "recallGate">;

const isWhole = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;
const KEYS: Readonly<Record<keyof Calibrated, readonly [expected: string, good: (value: unknown) => boolean]>> = {
  recallLayers: ["a list of layers", (value) => isList(value) && value.every(isWhole)],
  recallHeads: [HEADS, (value) => isList(value) && value.every(isHead)],
  recallDistance: ["a whole number of tokens, 1 or more", (value) => isWhole(value) && value !== 0],
  recallGate: [`a number from -${LARGEST_GATE} to ${LARGEST_GATE}`, isGate],
};

/**
 * Calls `use` with options that ask for recall, with what recall.json says (`lambent calibrate` writes it) in place of those that
 * are not given. Throws ModelError for a file that says other things, or what the model does not have.
 */
export async function withCalibration<Options extends PolicyOptions, T>(
  options: Options,
  checkpoint: Pick<Checkpoint, "name" | "bytes">,
  use: (options: Options) => Promise<T>,
): Promise<T> {
  const completed = await calibrated(options, checkpoint);
  try {
    return await use(completed);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    const key = (Object.keys(KEYS) as (keyof Calibrated)[]).find((key) => error.message.startsWith(`${key}: `));
    if (key === undefined || options[key] !== undefined || completed[key] === undefined) throw error;
    throw new ModelError(`${recallFileOf(checkpoint.name)}: ${error.message}`, { cause: error });
  }
}

/** Options with what recall.json says; see withCalibration. */
export async function calibrated<Options extends PolicyOptions>(
  options: Options,
  checkpoint: Pick<Checkpoint, "name" | "bytes">,
): Promise<Options> {
  const found = options.recall ? await checkpoint.bytes(RECALL_FILE) : undefined;
  if (!found) return options;
  const file = recallFileOf(checkpoint.name);
  const calibration = parseObject(decodeUtf8(found, file), file);
  for (const [key, value] of Object.entries(calibration)) {
    const known = Object.hasOwn(KEYS, key) ? KEYS[key as keyof Calibrated] : undefined;
    if (!known) throw new ModelError(mismatch(file, Object.keys(KEYS).join(", "), key));
    if (!known[1](value)) throw new ModelError(mismatch(`${file}: ${key}`, known[0], value));
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  // Layers and heads belong together: of layers that are asked for all heads look back, and of heads their layers.
  const asked = given.recallLayers !== undefined || given.recallHeads !== undefined;
  const { recallLayers: _, recallHeads: __, ...others } = calibration;
  return { ...(asked ? others : calibration), ...given } as Options;
}

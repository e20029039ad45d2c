import { ModelError, mismatch } from "../base/errors.ts";
import {
  boolean,
  divides,
  integer,
  type Key,
  number,
  numbers,
  object,
  only,
  optionalInteger,
  optionalNumber,
  type Schema,
  type Values,
} from "../formats/config.ts";
import { isRecord } from "../formats/json.ts";
import { naturalLog, type Rope } from "./positions.ts";
import { inverseFrequencies, longFrequencies, type RopeScaling } from "./rope_scaling.ts";

const ROPE_TYPES = ["default", "linear", "llama3", "yarn", "longrope", "divided"] as const;
type RopeType = (typeof ROPE_TYPES)[number];

function ropeType(value: unknown, name: string): RopeType | undefined {
  const found = ROPE_TYPES.find((type) => type === value);
  if (found || value === undefined) return found;
  throw new ModelError(
    mismatch(name, `rope type ${ROPE_TYPES.slice(0, -1).join(", ")} or ${ROPE_TYPES.at(-1)}`, value),
  );
}

/** Factors of 0 count as absent, as in transformers. */
const mscale = optionalNumber(-1e-30);

/** partial_rotary_factor of models that rotate a part of each head; transformers' others do not read it. */
export const partialRotaryFactor: Key<number | undefined> = (value, name) => {
  const found = optionalNumber()(value, name);
  if (found === undefined || found <= 1) return found;
  throw new ModelError(mismatch(name, "a number up to 1", found));
};

const scalingKeys = {
  rope_type: ropeType,
  type: ropeType,
  rope_theta: optionalNumber(1),
  factor: optionalNumber(),
  low_freq_factor: optionalNumber(),
  high_freq_factor: optionalNumber(),
  original_max_position_embeddings: optionalInteger(2 ** 40),
  partial_rotary_factor: only(1),
  attention_factor: optionalNumber(),
  beta_fast: optionalNumber(),
  beta_slow: optionalNumber(),
  mscale,
  mscale_all_dim: mscale,
  truncate: boolean(true),
  short_factor: numbers,
  long_factor: numbers,
  // A file's own divisors of the frequencies. see: llama.cpp rope_freqs.weight
  factors: numbers,
} as const;

/** The keys of an object of rope parameters; some models have others of their own. */
type RopeParameters = Omit<Values<typeof scalingKeys>, "partial_rotary_factor"> & {
  readonly partial_rotary_factor?: number | undefined;
  readonly llama_4_scaling_beta?: number | undefined;
};

/** An object of rope parameters. The type is checked first: other keys of an unsupported type matter less. */
function parameters(own: Schema): Key<RopeParameters | undefined> {
  const read = object({ ...scalingKeys, ...own });
  return (value, name) => {
    if (isRecord(value)) ropeType(value.rope_type ?? value.type ?? undefined, name);
    return read(value, name) as RopeParameters | undefined;
  };
}

/**
 * The config keys of RoPE: transformers 4's `rope_theta` and `rope_scaling`, 5's `rope_parameters`. `own`: how this model
 * reads other keys, or these, inside either object.
 */
export function ropeKeysWith(own: Schema) {
  return {
    rope_theta: optionalNumber(1),
    rope_scaling: parameters(own),
    rope_parameters: parameters(own),
    original_max_position_embeddings: optionalInteger(2 ** 40),
    partial_rotary_factor: (own.partial_rotary_factor ?? only(1)) as Key<number | undefined>,
  } as const;
}

/** ropeKeysWith, for models that have no others. */
export const ropeKeys = ropeKeysWith({});

/** `rope_parameters` with an object for each of these types of layers. */
export function ropeByType<T extends string>(
  ...types: T[]
): Key<{ readonly [K in T]?: RopeParameters | undefined } | undefined> {
  const read = object(Object.fromEntries(types.map((type) => [type, parameters({})])));
  return (value, name) => read(value, name) as { readonly [K in T]?: RopeParameters | undefined } | undefined;
}

type RopeConfig = { readonly [K in keyof typeof ropeKeys]: ReturnType<(typeof ropeKeys)[K]> };

/** What a model has where its config says nothing: 10000 and 1, unless it is given here. */
export interface RopeDefaults {
  readonly theta?: number;
  readonly partialRotaryFactor?: number;
}

/** What a model knows of its rope beside the keys. */
interface About extends RopeDefaults {
  readonly headDim: number;
  readonly trainedLength: number;
}

/**
 * Rotary positions in halves. As in transformers 5, rope_scaling takes precedence over rope_parameters, and what is inside
 * either over the key of the same name at the top level. see: HF modeling_rope_utils.py
 */
export function ropeOf(config: RopeConfig, name: string, about: About): Rope {
  const [key, given] = config.rope_scaling
    ? (["rope_scaling", config.rope_scaling] as const)
    : (["rope_parameters", config.rope_parameters] as const);
  const theta = given?.rope_theta ?? config.rope_parameters?.rope_theta ?? config.rope_theta ?? about.theta ?? 10000;
  const partial = given?.partial_rotary_factor ?? config.partial_rotary_factor ?? about.partialRotaryFactor ?? 1;
  const rotaryDim = integer(about.headDim)(
    Math.trunc(about.headDim * partial),
    `${name}: partial_rotary_factor · head_dim`,
  );
  divides(`${name}: partial_rotary_factor · head_dim`, rotaryDim, "a pair", 2);
  const original =
    config.original_max_position_embeddings ?? given?.original_max_position_embeddings ?? about.trainedLength;
  return scaledRope(given, `${name}: ${key}`, { rotaryDim, theta, original, trainedLength: about.trainedLength });
}

/** The lengths and frequencies that an object of rope parameters scales. */
interface Scaled {
  readonly rotaryDim: number;
  readonly theta: number;
  /** Length before scaling, and that of the model, in tokens. */
  readonly original: number;
  readonly trainedLength: number;
}

/** Rotary positions in halves, from one object of rope parameters; `name` is the object's. */
function scaledRope(given: RopeParameters | undefined, name: string, about: Scaled): Rope {
  const { rotaryDim, theta, original, trainedLength } = about;
  const scaling = scalingOf(given, name, about);
  const rope = {
    kind: "rope",
    inverseFrequencies: inverseFrequencies(rotaryDim, theta, scaling),
    interleaved: false,
  } as const;
  const beta = given?.llama_4_scaling_beta;
  const temperature = beta ? { beta, original: integer(2 ** 31)(original, `${name}: the original length`) } : undefined;
  if (!given || (scaling.type !== "yarn" && scaling.type !== "longrope")) return { ...rope, temperature };
  const stretch = given.factor ?? trainedLength / original;
  const own = scaling.type === "yarn" ? yarnFactor(stretch, given) : longFactor(stretch, original);
  const factor = number()(given.attention_factor ?? own, `${name}.attention_factor`);
  if (scaling.type === "yarn") return { ...rope, temperature, factor };
  const long = { beyond: original, inverseFrequencies: longFrequencies(rotaryDim, theta, scaling) };
  return { ...rope, temperature, factor, long };
}

function scalingOf(
  given: RopeParameters | undefined,
  name: string,
  { rotaryDim, original, trainedLength }: Scaled,
): RopeScaling {
  const type = given?.rope_type ?? given?.type ?? "default";
  if (!given || type === "default") return { type: "default" };
  const need = (field: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = given[field];
    if (value !== undefined) return value;
    throw new ModelError(mismatch(`${name}.${field}`, `a number for ${type} scaling`, "nothing"));
  };
  const list = (field: "short_factor" | "long_factor" | "factors"): readonly number[] => {
    const values = given[field];
    if (values?.length === rotaryDim / 2) return values;
    throw new ModelError(
      mismatch(`${name}.${field}`, `${rotaryDim / 2} numbers for ${type} scaling`, values?.length ?? "nothing"),
    );
  };
  const originalMaxPositionEmbeddings = original;
  switch (type) {
    case "linear":
      return { type, factor: need("factor") };
    case "divided":
      return { type, factors: list("factors") };
    case "longrope": {
      const [shortFactor, longFactor] = [list("short_factor"), list("long_factor")];
      return { type, shortFactor, longFactor, originalMaxPositionEmbeddings };
    }
    case "yarn": {
      const { factor = trainedLength / original, beta_fast: betaFast = 32, beta_slow: betaSlow = 1, truncate } = given;
      return { type, factor, betaFast, betaSlow, truncate, originalMaxPositionEmbeddings };
    }
  }
  const [lowFreqFactor, highFreqFactor] = [need("low_freq_factor"), need("high_freq_factor")];
  if (highFreqFactor <= lowFreqFactor) {
    const expected = `more than low_freq_factor (${lowFreqFactor})`;
    throw new ModelError(mismatch(`${name}.high_freq_factor`, expected, highFreqFactor));
  }
  return { type, factor: need("factor"), lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings };
}

/** The attention factor of yarn without attention_factor. see: HF _compute_yarn_parameters */
function yarnFactor(factor: number, { mscale, mscale_all_dim: allDim }: RopeParameters): number {
  const scale = (times: number) => (factor <= 1 ? 1 : 0.1 * times * naturalLog(factor) + 1);
  return mscale && allDim ? scale(mscale) / scale(allDim) : scale(1);
}

/** The attention factor of longrope without attention_factor. see: HF _compute_longrope_parameters */
function longFactor(factor: number, original: number): number {
  return factor <= 1 ? 1 : Math.sqrt(1 + naturalLog(factor) / naturalLog(original));
}

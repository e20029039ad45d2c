import { ModelError, mismatch, show } from "../base/errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";

/**
 * Segments that wrappers of a model leave in the names of its tensors: DataParallel and DeepSpeed, torch.compile, FSDP and
 * activation checkpointing, Fairscale, Lightning Fabric, PEFT. No layer of a model is called so.
 */
const WRAPPERS = new Set([
  ...["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_fpw_module", "_forward_module"],
  ...["base_model", "base_layer"],
]);
/** The attributes under which a model with a head keeps the one without (base_model_prefix), and wrappers keep both. */
const BASES = new Set(["model", "transformer"]);
/** How segments of parameters of PEFT's adapters begin, each before an underscore; and layers that replace others. */
const ADAPTERS =
  "adamss beft boft bone c3a deft delora fourierft frod glora gralora hada hira hra ia3 lily ln_tuning lokr lora miss oft " +
  "osf peanut poly psoft pvera randlora road shira supertuning tinylora trainable_tokens unilora vblora vera waveft";
const ADAPTER = new RegExp(`(?:^|\\.)(?:(?:${ADAPTERS.replaceAll(" ", "|")})_|modules_to_save\\.)`);

/**
 * The name of a tensor without what depends on how the model was saved: wrappers' segments, and what a model with a head
 * puts before the names of the one without. transformers, too, takes both kinds of model for each other.
 */
function bareName(name: string): string {
  const segments = name.split(".").filter((segment) => !WRAPPERS.has(segment));
  const first = segments.findIndex((segment) => !BASES.has(segment));
  return segments.slice(first).join(".");
}

/**
 * Looks tensors of a checkpoint up by the names that their model gives them.
 * @throws ModelError where the checkpoint holds adapters that are not merged: without them it would be another model.
 */
export class TensorNames {
  readonly #name: string;
  readonly #byBareName = new Map<string, StoredTensor[]>();

  constructor(tensors: ReadonlyMap<string, StoredTensor>, name: string) {
    this.#name = name;
    for (const tensor of tensors.values()) {
      if (ADAPTER.test(tensor.name)) {
        const expected = "adapters merged into the weights (merge_and_unload of peft)";
        throw new ModelError(mismatch(name, expected, `tensor ${show(tensor.name)}`));
      }
      const bare = bareName(tensor.name);
      const others = this.#byBareName.get(bare);
      if (others) others.push(tensor);
      else this.#byBareName.set(bare, [tensor]);
    }
  }

  /** The tensor that is called `wanted`, however it was saved. Throws ModelError if several are. */
  find(wanted: string): StoredTensor | undefined {
    const found = this.#byBareName.get(bareName(wanted)) ?? [];
    if (found.length > 1) {
      const names = found.map(({ name }) => show(name)).join(" and ");
      throw new ModelError(mismatch(this.#name, `one tensor ${wanted}`, names));
    }
    return found[0];
  }

  /** The name of a tensor that ends as one of those that are wanted: what an unknown wrapper may have made of it. */
  similar(wanted: readonly string[]): string | undefined {
    const ends = wanted.map((name) => `.${bareName(name)}`);
    const names = [...this.#byBareName.values()].flatMap((tensors) => tensors.map(({ name }) => name));
    return names.find((name) => ends.some((end) => name.endsWith(end)));
  }
}

import { ModelError, mismatch, show } from "../base/errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";

/**
 * Segments that wrappers of a model leave in the names of its tensors: DataParallel and DeepSpeed, torch.compile, FSDP
 * and activation checkpointing, Fairscale, Lightning Fabric, PEFT. No model has a layer of such a name.
 */
const WRAPPERS = new Set([
  ...["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_fpw_module", "_forward_module"],
  ...["base_model", "base_layer"],
]);
/**
 * The attributes under which a model with a head holds the one without (base_model_prefix), and wrappers hold both; and
 * under which a model with vision holds the one of text.
 */
const BASES = new Set(["model", "transformer", "language_model", "gpt_neox"]);
/** How parameter names of PEFT's adapters start, each before an underscore; and layers that replace others. */
const ADAPTERS =
  "adamss beft boft bone c3a deft delora fourierft frod glora gralora hada hira hra ia3 lily ln_tuning lokr lora miss oft " +
  "osf peanut poly psoft pvera randlora road shira supertuning tinylora trainable_tokens unilora vblora vera waveft";
const ADAPTER = new RegExp(`(?:^|\\.)(?:(?:${ADAPTERS.replaceAll(" ", "|")})_|modules_to_save\\.)`);

/**
 * The name of a tensor without what depends on how the model was saved: segments of wrappers, and the prefix that a
 * model with a head adds to the names of the one without. transformers also accepts either kind of model for the other.
 */
export function bareName(name: string): string {
  const segments = name.split(".").filter((segment) => !WRAPPERS.has(segment));
  const first = segments.findIndex((segment) => !BASES.has(segment));
  return segments.slice(first).join(".");
}

/**
 * Looks up tensors of a checkpoint by the names that their model gives them.
 * @throws ModelError if the checkpoint contains unmerged adapters: without them it would be a different model.
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

  /** The tensor called `wanted`, however it was saved. Throws ModelError if there are several. */
  find(wanted: string): StoredTensor | undefined {
    const found = this.#byBareName.get(bareName(wanted)) ?? [];
    if (found.length > 1) {
      const names = found.map(({ name }) => show(name)).join(" and ");
      throw new ModelError(mismatch(this.#name, `one tensor ${wanted}`, names));
    }
    return found[0];
  }

  /** The name of a tensor that ends as one of the wanted ones, as an unknown wrapper may have renamed it. */
  similar(wanted: readonly string[]): string | undefined {
    const ends = wanted.map((name) => `.${bareName(name)}`);
    const names = [...this.#byBareName.values()].flatMap((tensors) => tensors.map(({ name }) => name));
    return names.find((name) => ends.some((end) => name.endsWith(end)));
  }
}

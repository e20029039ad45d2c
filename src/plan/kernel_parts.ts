import type { Part } from "../machine/selftest_inputs.ts";
import type { Plan } from "./plan.ts";

/** The parts of the kernels that a plan uses: only these have to be tested for it. */
export function kernelParts({ weights, options, policy }: Plan): Part[] {
  const matrices = weights.filter(({ weight }) => weight.shape.length === 2).map(({ dtype }) => dtype);
  const recall: Part[] = policy.recall ? ["recall"] : [];
  return ["common", ...new Set(matrices), `cache ${options.cacheDtype}`, ...recall];
}

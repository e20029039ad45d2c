/** What a snapshot says of the policy that its session was read under, and of its middle tokens. */

import { RECALL_QUERIES } from "../plan/middle.ts";
import type { Plan } from "../plan/plan.ts";
import { POLICIES, type Policy } from "../plan/policy.ts";
import { bigInts, expectSame, type Field, integers, type Reader } from "./snapshot_fields.ts";

/** The fields. */
export function policyFields(plan: Plan): Field[] {
  const own = layerPolicies(plan);
  const middle = recallNumbers(plan.policy, plan.layers.length);
  return [
    bigInts("policy", policyNumbers(plan.policy)),
    ...(own ? [bigInts("layer_policies", own.flat())] : []),
    ...(middle ? [bigInts("middle", middle)] : []),
  ];
}

/** Throws ModelError where they are not those of a plan. `hasMiddle`: whether the snapshot has the field of middle tokens. */
export function expectPolicy(plan: Plan, read: Reader, hasMiddle: boolean): void {
  expectSame("policy", showPolicy(policyNumbers(plan.policy)), showPolicy(integers(read("policy", "I64", 5))));
  const own = layerPolicies(plan);
  const found = own && inFives(integers(read("layer_policies", "I64", 5 * own.length)));
  for (const [layer, policy] of own?.entries() ?? []) {
    expectSame(`layer_policies of layer ${layer}`, showPolicy(policy), showPolicy(found?.[layer] ?? []));
  }
  const layers = plan.layers.length;
  const middle = hasMiddle ? integers(read("middle", "I64", 6 + layers)) : undefined;
  expectSame("middle tokens (recall)", showKept(recallNumbers(plan.policy, layers)), showKept(middle));
}

/** The policy of every layer where one has another than the model's; its middle tokens are told apart. */
export function layerPolicies(plan: Plan): number[][] | undefined {
  const common = policyNumbers(plan.policy).join();
  const numbers = plan.layers.map(({ policy }) => policyNumbers(policy));
  return numbers.some((own) => own.join() !== common) ? numbers : undefined;
}

function inFives(numbers: readonly number[]): number[][] {
  return Array.from({ length: numbers.length / 5 }, (_, i) => numbers.slice(5 * i, 5 * i + 5));
}

/** The policy as numbers, −1 where there is no bound. */
function policyNumbers({ attention, nGlobal, nLocal, limit, maxPositions }: Policy): number[] {
  const bounded = [nLocal, limit, maxPositions].map((number) => (number === Infinity ? -1 : number));
  return [POLICIES.indexOf(attention), nGlobal, ...bounded];
}

function showPolicy([attention, nGlobal, nLocal, limit, maxPositions]: readonly number[]): string {
  const name = POLICIES[attention as number] ?? "another";
  const bound = (number: number | undefined) => (number === -1 ? "∞" : number);
  return `${name} (nGlobal ${nGlobal}, nLocal ${bound(nLocal)}, limit ${bound(limit)}, maxPositions ${bound(maxPositions)})`;
}

/** What a policy says of middle tokens, as numbers; undefined where no layer attends to them. */
function recallNumbers(policy: Policy, layers: number): number[] | undefined {
  const { recall, recallDistance, recallLayers, recallTokens, recallBlocks, recallGate, recallQueries } = policy;
  if (recall === 0) return undefined;
  const blocks = recallBlocks === Infinity ? 0 : recallBlocks;
  const [gate] = new Uint32Array(Float32Array.of(recallGate).buffer) as unknown as [number];
  const flags = Array.from({ length: layers }, (_, layer) => Number(recallLayers.includes(layer)));
  return [recall, recallDistance, recallTokens, blocks, gate, RECALL_QUERIES.indexOf(recallQueries), ...flags];
}

/** What of middle tokens is in the slot; how they are chosen from then on is the engine's. */
function showKept(numbers: readonly number[] | undefined): string {
  if (!numbers) return "none";
  const [, , recallTokens, , , , ...flags] = numbers;
  return `recallTokens ${recallTokens}, recallLayers ${flags.flatMap((flag, layer) => (flag ? [layer] : []))}`;
}

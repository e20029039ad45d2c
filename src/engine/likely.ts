/** A token, and ln of its probability under the model itself, before penalty, temperature and cuts. */
export interface LikelyToken {
  readonly id: number;
  readonly logprob: number;
}

/** The `count` most likely tokens by logits f32[vocab], the most likely first, equal ones by id; `logSum`: ln Σ e^logit. */
export function mostLikely(logits: Float32Array, count: number, logSum: number): LikelyToken[] {
  const best: number[] = [];
  let least = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const value = logits[id] as number;
    if (best.length === count && !(value > least)) continue;
    const at = best.findLastIndex((other) => (logits[other] as number) >= value) + 1;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
    if (best.length === count) least = logits[best.at(-1) as number] as number;
  }
  return best.map((id) => ({ id, logprob: (logits[id] as number) - logSum }));
}

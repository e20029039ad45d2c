/** The exports of the Wasm module. It imports its memory and owns none. */
export { spin } from "./barrier";
export { findMaxima, forbidOthers, rank, sumBelow, survey } from "./choose";
export { hashDigest, hashInit, hashUpdate } from "./hash";
export { nll } from "./nll";
export { expand, firstNonFinite } from "./pack";
export { execute, run } from "./program";
export { firstBadBlock } from "./quantize";

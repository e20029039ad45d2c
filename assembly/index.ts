/** What the Wasm module exports. It imports its memory and owns none of it. */
export { spin } from "./barrier";
export { hashDigest, hashInit, hashUpdate } from "./hash";
export { nll } from "./nll";
export { expand, firstNonFinite } from "./pack";
export { execute, run } from "./program";
export { firstBadBlock } from "./quantize";

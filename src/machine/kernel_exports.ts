/** What a kernel module exports (assembly/index.ts); addresses and counts are u32. */
export interface KernelExports {
  run(program: number, step: number, control: number, thread: number, threads: number): number;
  execute(record: number, step: number, slice: number, slices: number): void;
  /** Shared builds only: the loop of a barrier, for its speed. */
  spin(control: number, generation: number, turns: number): void;
  expand(dst: number, src: number, count: number, source: number): number;
  nll(out: number, x: number, target: number, n: number): void;
  firstNonFinite(p: number, count: number): number;
  survey(
    scores: number,
    x: number,
    n: number,
    maxima: number,
    sums: number,
    table: number,
    first: number,
    last: number,
  ): void;
  findMaxima(scores: number, blocks: number, maxima: number): void;
  sumBelow(
    scores: number,
    blocks: number,
    largest: number,
    scale: number,
    above: number,
    table: number,
    sums: number,
  ): void;
  forbidOthers(scores: number, n: number, mask: number): void;
  rank(
    scores: number,
    blocks: number,
    maxima: number,
    least: number,
    above: number,
    entries: number,
    work: number,
    counts: number,
  ): number;
  firstBadBlock(p: number, blocks: number, format: number): number;
  hashInit(state: number): void;
  hashUpdate(state: number, p: number, length: number): void;
  hashDigest(state: number): bigint;
}

/** What instances of the kernels are made by. */
export interface KernelModule {
  readonly shared: boolean;
  instantiate(memory: WebAssembly.Memory): KernelExports;
}

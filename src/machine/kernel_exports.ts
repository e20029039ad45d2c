/** What a kernel module exports (assembly/index.ts); addresses and counts are u32. */
export interface KernelExports {
  run(program: number, step: number, control: number, thread: number, threads: number): number;
  execute(record: number, step: number, slice: number, slices: number): void;
  /** Shared builds only: the loop of a barrier, for its speed. */
  spin(control: number, generation: number, turns: number): void;
  expand(dst: number, src: number, count: number, source: number): number;
  nll(out: number, x: number, target: number, n: number): void;
  firstNonFinite(p: number, count: number): number;
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

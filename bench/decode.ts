import { arch, cpus, platform } from "node:os";
import { Bench } from "tinybench";
import { loadEngine, withCheckpoint } from "../src/load.ts";
import type { PolicyName } from "../src/model/cache.ts";
import { GREEDY } from "../src/sampler.ts";

/** Prefill of one chunk and decode of one token, at several positions, under Λ and under full attention. */
export async function decode(flags: { model: string; threads?: number; quick?: boolean }): Promise<void> {
  const positions = flags.quick ? [0, 512] : [0, 512, 2048, 8192];
  const time = flags.quick ? 200 : 2000;
  const { threads } = flags;
  console.log(`${platform()} ${arch()}, ${cpus()[0]?.model}, ${cpus().length} cores; ${flags.model}; medians`);
  await withCheckpoint(flags.model, {}, async (checkpoint, runtime) => {
    console.log(`${runtime.name}\npolicy    threads position   prefill of 128, ms   decode of 1, ms   session, MiB`);
    for (const attention of ["lambda", "full"] satisfies PolicyName[]) {
      for (const position of positions) {
        const engine = await loadEngine(checkpoint, runtime, { attention, threads, maxPositions: position + 256 });
        const base = engine.open(0, 1);
        const ids = Array.from({ length: position + 1 }, (_, i) => (i * 31) % engine.program.vocabSize);
        await engine.append(base, ids);
        const chunk = ids
          .slice(0, 1)
          .concat(Array.from({ length: 127 }, (_, i) => (i * 17) % engine.program.vocabSize));
        const bench = new Bench({ time, warmupTime: time / 4, retainSamples: true });
        // Each round works on a copy of the session, so that the position stays what it is.
        let session = 0;
        const each = {
          beforeEach: () => {
            session = engine.fork(base);
          },
          afterEach: () => engine.dispose(session),
        };
        bench.add("prefill", () => engine.append(session, chunk), each);
        bench.add(
          "decode",
          async () => {
            await engine.next(session, GREEDY);
            await engine.next(session, GREEDY);
          },
          each,
        );
        const [prefill, step] = await bench.run();
        const median = (task: typeof prefill) =>
          task?.result.state === "completed" ? task.result.latency.p50 : Number.NaN;
        const session_mib = engine.plan.cacheBytes / 2 ** 20;
        console.log(
          `${attention.padEnd(9)} ${`${engine.threads}`.padStart(7)} ${`${position}`.padStart(8)} ${median(prefill).toFixed(2).padStart(20)} ${median(step).toFixed(2).padStart(17)} ${session_mib.toFixed(1).padStart(14)}`,
        );
      }
    }
  });
}

import type { Host } from "./job.ts";

/** Whether this place runs WebAssembly at all, and what it says of itself. */
export async function trial(options: unknown, host: Host): Promise<unknown> {
  await host.report("begin");
  const range = await fetch(`${host.base}models/lambent-llama-5m/config.json`, { headers: { range: "bytes=0-9" } });
  return {
    options,
    isolated: (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated,
    shared: typeof SharedArrayBuffer,
    worker: typeof Worker,
    agent: globalThis.navigator?.userAgent,
    range: [range.status, (await range.arrayBuffer()).byteLength],
  };
}

import type { Metrics } from "./metrics.ts";
import type { Service } from "./service.ts";

/** GET /health: 200 while requests are taken, 503 while the server shuts down, or an engine has ended or is loaded again. */
export async function health({ cores }: Service): Promise<Response> {
  const all = [...new Set(cores.values())];
  const memory = await Promise.all(all.map((core) => core.memory()));
  const status = all.some(({ admission }) => admission.closed)
    ? "shutting down"
    : all.some(({ renewal }) => renewal.loading)
      ? "loading model"
      : memory.includes(undefined)
        ? "error"
        : "ok";
  return Response.json({ status }, { status: status === "ok" ? 200 : 503 });
}

/** GET /metrics, in Prometheus' text format. */
export async function metricsText({ cores }: Service, metrics: Metrics): Promise<Response> {
  const models = [...new Set(cores.values())];
  const memory = await Promise.all(models.map(async (core) => [core.name, (await core.memory()) ?? 0] as const));
  const by = (value: (core: (typeof models)[number]) => number) => {
    return new Map(models.map((core) => [core.name, value(core)]));
  };
  const text = metrics.text([
    ["lambent_sessions_open", "Requests that have a session.", by(({ admission }) => admission.active)],
    ["lambent_sessions_most", "Sessions that there may be.", by(({ admission }) => admission.seats)],
    ["lambent_requests_waiting", "Requests that wait for a session.", by(({ admission }) => admission.waiting)],
    ["lambent_memory_bytes", "WebAssembly memory.", new Map(memory)],
  ]);
  return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
}

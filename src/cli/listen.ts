import { LambentError, mismatch } from "../base/errors.ts";

/** A server that takes requests. */
export interface Listening {
  readonly url: string;
  /** Takes no more connections; done when the responses that are being sent are. */
  finish(): Promise<unknown>;
  /** Ends every connection. */
  close(): Promise<unknown>;
}

/** Where it listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

type Fetch = (request: Request) => Promise<Response>;

/** Seconds that a connection may be silent before its request is there; later limits are the server's own. */
const IDLE_SECONDS = 30;

/** Answers requests by the host's own HTTP server. Throws LambentError if the address cannot be had. */
export async function listen(fetch: Fetch, address: Address): Promise<Listening> {
  const start = "Bun" in globalThis ? onBun : "Deno" in globalThis ? onDeno : onNode;
  try {
    return await start(fetch, address);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new LambentError(mismatch(`${address.host}:${address.port}`, "an address to listen on", code ?? message));
  }
}

async function onBun(fetch: Fetch, { host, port }: Address): Promise<Listening> {
  const server = Bun.serve({
    ...{ hostname: host, port, idleTimeout: IDLE_SECONDS, maxRequestBodySize: Number.MAX_SAFE_INTEGER },
    fetch(request, server) {
      server.timeout(request, 0);
      return fetch(request);
    },
  });
  return { url: urlOf(host, server.port as number), finish: () => server.stop(), close: () => server.stop(true) };
}

/** The part of Deno that is used; its types are not here. */
declare const Deno: {
  serve(options: object, fetch: Fetch): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
};

async function onDeno(fetch: Fetch, { host, port }: Address): Promise<Listening> {
  const ending = new AbortController();
  const server = Deno.serve({ hostname: host, port, signal: ending.signal, onListen() {} }, fetch);
  const finish = () => server.shutdown();
  return { url: urlOf(host, server.addr.port), finish, close: async () => ending.abort() };
}

async function onNode(fetch: Fetch, { host, port }: Address): Promise<Listening> {
  const { createAdaptorServer } = await import("@hono/node-server");
  const server = createAdaptorServer({ fetch });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const bound = server.address() as { readonly port: number };
  const finish = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  const close = async () => {
    server.close();
    if ("closeAllConnections" in server) server.closeAllConnections();
  };
  return { url: urlOf(host, bound.port), finish, close };
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

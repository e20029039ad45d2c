/** What tests of the server share: the embedded model with a chat template, behind HTTP on this machine. */
import { type LoadOptions, load, type Model } from "../../src/entry/index.ts";
import { createServer, type Server, type ServerOptions } from "../../src/entry/server.ts";
import { embeddedFolder, removeTemporary } from "../session/small.ts";

/** Turns as a dialogue on lines of their own, which the embedded model can at least read. */
export const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/** The name of the model that is served. */
export const NAME = "story";

/** A server that was started, and what it serves. */
export interface Started {
  readonly url: string;
  readonly model: Model;
  readonly server: Server;
  stop(): Promise<void>;
}

/** Starts a server over the embedded model; `template` is its chat template. */
export async function start(
  options: ServerOptions = {},
  { template = TEMPLATE, ...loading }: LoadOptions & { template?: string } = {},
): Promise<Started> {
  const folder = embeddedFolder({
    ...{ bos_token: "<|endoftext|>", eos_token: "<|endoftext|>", add_bos_token: true },
    chat_template: template,
  });
  const model = await load(folder, { threads: 1, ...loading });
  const server = createServer({ [NAME]: model }, options);
  const listening = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: server.fetch });
  return {
    ...{ url: `http://127.0.0.1:${listening.port}`, model, server },
    async stop() {
      await listening.stop(true);
      model.dispose();
      removeTemporary();
    },
  };
}

/** POSTs a body, JSON unless it is text. */
export function post(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(url, {
    method: "POST",
    body: text,
    ...init,
    headers: { "content-type": "application/json", ...init.headers },
  });
}

/** A body, whatever is in it. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
export type Json = any;

/** The JSON of a response. */
export async function json(response: Response | Promise<Response>): Promise<Json> {
  return (await response).json();
}

/** The data of a stream of server-sent events, parsed but for [DONE]. */
export async function events(response: Response): Promise<{ event?: string; data: Json }[]> {
  const blocks = (await response.text()).split("\n\n").filter((block) => block !== "" && !block.startsWith(":"));
  return blocks.map((block) => {
    const event = block.match(/^event: (.*)$/m)?.[1];
    const data = block.match(/^data: (.*)$/m)?.[1] as string;
    return { ...(event === undefined ? {} : { event }), data: data === "[DONE]" ? data : JSON.parse(data) };
  });
}

/** Waits until something holds, for at most ten seconds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await holds()) return;
    await Bun.sleep(10);
  }
  throw new Error("it never came to that");
}

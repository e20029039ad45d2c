/** An HTTP server whose every byte is a test's choice: it gives files whole or by parts, breaks off, or falls silent. */
import { existsSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";

/** How files are given: parts where they are asked for, or whole ones with their length, in chunks, compressed, or until the end. */
export type Manner = "ranges" | "whole" | "chunked" | "gzip" | "closing";
export const MANNERS: readonly Manner[] = ["ranges", "whole", "chunked", "gzip", "closing"];

export interface Request {
  readonly file: string;
  readonly headers: ReadonlyMap<string, string>;
  /** How many were there before for this file. */
  readonly time: number;
}

/** What becomes of an answer: `bytes` of its body are sent, then it breaks off or falls silent. */
export interface Trouble {
  readonly bytes: number;
  readonly how: "cut" | "silence";
}

export interface Server {
  readonly url: string;
  readonly requests: Request[];
  stop(): void;
}

const compressed = new Map<number | bigint, Uint8Array<ArrayBuffer>>();

/** Each file once: on a busy machine a large one takes longer than clients wait for bytes. */
function gzipped(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const key = Bun.hash(bytes);
  const found = compressed.get(key) ?? Bun.gzipSync(bytes, { level: 1 });
  compressed.set(key, found);
  return found;
}

/** Serves the files of a folder; `trouble` says what happens to an answer, `change` gives other bytes of a file. */
export async function serveRaw(
  folder: string,
  manner: Manner,
  trouble: (request: Request) => Trouble | undefined = () => undefined,
  change: (bytes: Uint8Array<ArrayBuffer>, request: Request) => Uint8Array<ArrayBuffer> = (bytes) => bytes,
): Promise<Server> {
  const sockets = new Set<Socket>();
  const requests: Request[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      const [first = "", ...lines] = text.split("\r\n");
      text = "";
      const file = decodeURIComponent((first.split(" ")[1] ?? "").slice(1));
      const headers = new Map(lines.map((line) => line.toLowerCase().split(": ") as [string, string]));
      const request = { file, headers, time: requests.filter((one) => one.file === file).length };
      requests.push(request);
      answer(socket, request);
    });
  });
  const answer = (socket: Socket, request: Request) => {
    const path = join(folder, request.file);
    if (!existsSync(path)) {
      socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const whole = change(new Uint8Array(readFileSync(path)), request);
    const [, from, to] = request.headers.get("range")?.match(/^bytes=(\d+)-(\d+)$/) ?? [];
    const head = ["Connection: close"];
    let body = whole;
    let status = "200 OK";
    if (manner === "ranges" && from !== undefined) {
      const end = Math.min(Number(to) + 1, whole.length);
      body = whole.subarray(Number(from), end);
      status = "206 Partial Content";
      head.push(`Content-Range: bytes ${from}-${end - 1}/${whole.length}`);
    }
    if (manner === "gzip") {
      body = gzipped(whole);
      head.push("Content-Encoding: gzip");
    }
    const chunked = manner === "chunked";
    if (chunked) head.push("Transfer-Encoding: chunked");
    else if (manner !== "closing") head.push(`Content-Length: ${body.length}`);
    socket.write(`HTTP/1.1 ${status}\r\n${head.join("\r\n")}\r\n\r\n`);
    const found = trouble(request);
    const sent = body.subarray(0, found?.bytes ?? body.length);
    if (chunked && sent.length) socket.write(`${sent.length.toString(16)}\r\n`);
    socket.write(sent);
    if (chunked && sent.length) socket.write("\r\n");
    if (chunked && !found) socket.write("0\r\n\r\n");
    if (found?.how !== "silence") socket.end();
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

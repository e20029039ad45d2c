import { type ApiError, asApiError } from "./errors.ts";

/** After this long, in ms, a stream starts whether or not there is an event: errors until then have their status. */
const PATIENCE_MS = 2000;
/** A stream without an event for this long, in ms, gets a comment, so that nobody between gives it up. */
const PING_MS = 15_000;

const encoder = new TextEncoder();

/** How events become a body. */
export interface StreamForm {
  readonly contentType: string;
  /** What keeps an idle stream open; none by default. */
  readonly ping?: string | undefined;
  /** The text of an error in the stream. */
  error(error: ApiError): string;
}

/** Server-sent events: `data:` lines. */
export const SSE_TYPE = "text/event-stream; charset=utf-8";
/** A comment of them. */
export const SSE_PING = ": ping\n\n";

/** One event: its data as JSON, and its name. */
export function sse(data: unknown, event?: string): string {
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/**
 * A response whose body is made piece by piece, at the reader's pace. A reader who leaves ends the pieces: `leave` is
 * called, then they are returned. An error before the first piece is thrown, so that it has a status of its own.
 */
export async function streamed(
  pieces: AsyncGenerator<string, void, undefined>,
  form: StreamForm,
  leave: () => void,
): Promise<Response> {
  let next: ReturnType<typeof pieces.next> | undefined = pieces.next();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS);
  });
  await Promise.race([next, patience]).finally(() => clearTimeout(timer));
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          next ??= pieces.next();
          const piece = await orPing(next, form.ping);
          if (piece === undefined) return controller.close();
          if (piece !== form.ping) next = undefined;
          controller.enqueue(encoder.encode(piece));
        } catch (error) {
          controller.enqueue(encoder.encode(form.error(asApiError(error))));
          controller.close();
        }
      },
      async cancel() {
        leave();
        next?.catch(() => {});
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
  const headers = { "content-type": form.contentType, "cache-control": "no-cache", "x-accel-buffering": "no" };
  return new Response(body, { headers });
}

/** The next piece, undefined at the end; `ping` if it takes long. */
async function orPing(next: Promise<IteratorResult<string, void>>, ping?: string): Promise<string | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const idle = new Promise<string>((resolve) => {
    if (ping !== undefined) timer = setTimeout(() => resolve(ping), PING_MS);
  });
  try {
    const first = await Promise.race([next, idle]);
    return typeof first === "string" ? first : (first.value ?? undefined);
  } finally {
    clearTimeout(timer);
  }
}

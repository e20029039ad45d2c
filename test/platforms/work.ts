/** A job in a place, watched. */
import type { Place } from "./place.ts";
import type { Job, Report } from "./program/job.ts";
import type { PlatformServer } from "./server.ts";

export interface Watching {
  readonly onStart?: () => void;
  readonly onProgress?: (value: unknown) => void;
  /** How long a place may say nothing, and how long it may take to end when it has said that it is done; ms. */
  readonly silence?: number;
  readonly ending?: number;
}

/** Runs a job in a place; what it ended with. Throws if it fails, is silent for too long, or does not end by itself. */
export async function work<T>(place: Place, server: PlatformServer, job: Job, watching: Watching = {}): Promise<T> {
  const { onStart, onProgress, silence = 120_000, ending = 15_000 } = watching;
  const { promise: reported, resolve, reject } = Promise.withResolvers<T>();
  reported.catch(() => {});
  const refuse = (what: string) => reject(new Error(`${place.name}: ${what}`));
  let last = "its start";
  const watch = () =>
    setTimeout(() => refuse(`expected a report within ${silence / 1000} s after ${last}, found none`), silence);
  let timer = watch();
  const heard = (report: Report) => {
    clearTimeout(timer);
    timer = watch();
    last = JSON.stringify(report.value).slice(0, 120);
    if (report.kind === "done") resolve(report.value as T);
    else if (report.kind === "failed") refuse(report.value);
    else onProgress?.(report.value);
  };
  const instance = await place.open();
  try {
    onStart?.();
    const url = server.url(place.isolated) + server.post(job, heard);
    const ended = instance.run(url).catch((error: Error) => error.message);
    // A program that ends without a word has failed; after its last word it gets time to end.
    void ended.then((wrong) => refuse(`ended after ${last}: ${wrong ?? "no result"}`));
    const value = await reported;
    const wrong = await Promise.race([ended, Bun.sleep(ending).then(() => "does not end by itself")]);
    if (wrong !== undefined) throw new Error(`${place.name}: ${wrong}`);
    return value;
  } finally {
    clearTimeout(timer);
    await instance.close();
  }
}

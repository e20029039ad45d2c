/** A job in a place, watched. */
import type { Place } from "./place.ts";
import type { Job, Report } from "./program/job.ts";
import type { PlatformServer } from "./server.ts";

/** How long a place may say nothing, and how long it may take to end when it has said that it is done; ms. */
const PATIENCE_MS = 120_000;
const ENDING_MS = 15_000;

/** Runs a job in a place; what it ended with. Throws if it fails, is silent for too long, or does not end by itself. */
export async function work<T>(
  place: Place,
  server: PlatformServer,
  job: Job,
  onProgress: (value: unknown) => void = () => {},
  onStart: () => void = () => {},
): Promise<T> {
  const { promise: reported, resolve, reject } = Promise.withResolvers<T>();
  reported.catch(() => {});
  let last = "it was started";
  const hang = () =>
    reject(new Error(`${place.name}: expected a report within ${PATIENCE_MS / 1000} s after ${last}, found none`));
  let watch = setTimeout(hang, PATIENCE_MS);
  const heard = (report: Report) => {
    clearTimeout(watch);
    watch = setTimeout(hang, PATIENCE_MS);
    last = JSON.stringify(report.value)?.slice(0, 120);
    if (report.kind === "done") resolve(report.value as T);
    else if (report.kind === "failed") reject(new Error(`${place.name}: ${report.value}`));
    else onProgress(report.value);
  };
  const instance = await place.open();
  try {
    onStart();
    const ended = instance.run(server.url(place.isolated) + server.post(job, heard));
    // A program that ends without a word has failed; after its last word it gets time to end.
    void ended.then((wrong) => reject(new Error(`${place.name}: ended after ${last}: ${wrong ?? "without a result"}`)));
    const value = await reported;
    const wrong = await Promise.race([ended, Bun.sleep(ENDING_MS).then(() => "it does not end by itself")]);
    if (wrong !== undefined) throw new Error(`${place.name}: ${wrong}`);
    return value;
  } finally {
    clearTimeout(watch);
    await instance.close();
  }
}

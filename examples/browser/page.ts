import { engineInfo, inspect, load, OptionError } from "lambent";
import { filesFromBlobs } from "./blobs.ts";
import * as controls from "./controls.ts";
import { part } from "./controls.ts";
import { droppedFiles, EMBEDDED, fetchEmbedded } from "./model_files.ts";
import { keepOffline } from "./offline.ts";
import { draw, type Line } from "./plot.ts";
import { count, size, wordsOf } from "./words.ts";
import { Writer } from "./writer.ts";

/** Time between two drawings of numbers and plot, and of text, in ms. */
const NUMBERS = 125;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

type Phase = "empty" | "loading" | "writing" | "paused";
/** A model's name and files; undefined files: those of the embedded one, not fetched yet. */
interface Source {
  readonly name: string;
  readonly blobs?: Readonly<Record<string, Blob>>;
}

let source: Source = { name: EMBEDDED };
let writers: Writer[] = [];
/** What the writers were loaded with. */
let loadedWith = "";
let phase: Phase = "empty";
let control = new AbortController();

const go = part<HTMLButtonElement>("go");
const fresh = part<HTMLButtonElement>("new");
const save = part<HTMLButtonElement>("save");
const prompt = part<HTMLTextAreaElement>("prompt");
const beside = part<HTMLInputElement>("beside");

function enter(next: Phase): void {
  phase = next;
  go.disabled = phase === "loading";
  go.textContent = { empty: "Start", loading: "Start", writing: "Stop", paused: "Continue" }[phase];
  fresh.disabled = phase !== "paused";
  save.disabled = phase !== "paused";
  part("loading").hidden = phase !== "loading";
  document.body.dataset.phase = phase;
}

const say = (text: string) => (part("status").textContent = text);

function complain(error: unknown): void {
  part("error").textContent = error ? wordsOf(error) : "";
  if (error) say("");
}

/** Does something that can fail or be cancelled; what fails is said, and the page goes on. */
async function attempt(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  complain(undefined);
  control = new AbortController();
  const { signal } = control;
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) say("Cancelled.");
    else complain(error);
    enter(loadedWith && writers[0]?.session ? "paused" : "empty");
  }
}

/** Sees to it that the models are there that the page asks for. */
async function prepare(signal: AbortSignal): Promise<void> {
  const options = controls.loading();
  const asked = JSON.stringify([source.name, options, beside.checked && controls.room()]);
  if (asked === loadedWith) return;
  enter("loading");
  const next: Writer[] = [];
  try {
    const blobs = source.blobs ?? (await fetchEmbedded(signal, (loaded, total) => progress("Fetching", loaded, total)));
    source = { ...source, blobs };
    const files = filesFromBlobs(source.name, blobs);
    const perToken = (await inspect(files, { attention: "full", maxPositions: 1 })).plan.cacheBytes;
    const onProgress = ({ loaded, total }: { loaded: number; total: number }) => progress("Reading", loaded, total);
    const lambda = await load(files, { ...options, maxSessions: 2, signal, onProgress });
    next.push(new Writer(lambda, "Λ-attention", perToken));
    if (beside.checked) {
      const maxPositions = controls.room();
      const full = await load(files, {
        ...options,
        attention: "full",
        maxPositions,
        maxSessions: 1,
        signal,
        onProgress,
      });
      next.push(new Writer(full, "Full attention", perToken));
    }
    controls.showEngine(await engineInfo(options));
  } catch (error) {
    for (const { model } of next) model.dispose();
    throw error;
  }
  leave();
  writers = next;
  loadedWith = asked;
  show();
}

/** Gives up the models. */
function leave(): void {
  for (const { model } of writers) model.dispose();
  writers = [];
  loadedWith = "";
}

function progress(what: string, loaded: number, total: number): void {
  part("loading-what").textContent = `${what} ${source.name}: ${size(loaded)} of ${size(total)}`;
  part<HTMLProgressElement>("progress").value = loaded / total;
}

/** Puts the writers onto the page. */
function show(): void {
  const most = Math.max(...writers.map(({ model }) => model.info.memoryBytes));
  for (const writer of writers) writer.gauge = writers.length > 1 ? most : 1.25 * most;
  part("columns").replaceChildren(...writers.map(({ root }) => root));
  part("columns").dataset.count = `${writers.length}`;
  part("trained").textContent = count(writers[0]?.model.info.trainedLength ?? 0);
  part("legend").replaceChildren(...writers.map(({ name, model }) => swatch(name, model.info.attention)));
  drawNumbers();
}

function swatch(name: string, attention: string): HTMLElement {
  return Object.assign(document.createElement("span"), { className: `swatch ${attention}`, textContent: name });
}

const lines = (): Line[] =>
  writers.map(({ name, nll, model: { info } }) => ({
    ...{ name, series: nll, colour: `--${info.attention}` },
    dash: info.attention === "full" ? [5, 3] : [],
  }));

function drawNumbers(): void {
  for (const writer of writers) writer.draw();
  const canvas = part<HTMLCanvasElement>("plot");
  draw(canvas, lines(), writers[0]?.model.info.trainedLength ?? 512);
  const words = writers.map(
    ({ name, nll }) => `${name} ${Number.isNaN(nll.latest) ? "none yet" : nll.latest.toFixed(2)}`,
  );
  canvas.setAttribute("aria-label", `Negative log-likelihood by position, nats per token; now: ${words.join(", ")}`);
}

const start = () =>
  attempt(async (signal) => {
    await prepare(signal);
    enter("writing");
    // The same numbers for all: what differs is the attention alone.
    const seed = controls.seed();
    for (const writer of writers) await writer.begin(prompt.value, seed ?? writers[0]?.session?.seed, signal);
    await write(signal);
  });

/** Writes until stopped. The writers take turns, so that each has the whole machine and all are at the same place. */
async function write(signal: AbortSignal): Promise<void> {
  enter("writing");
  say(`Writing${writers.length > 1 ? ", a token each in turn" : ""} …`);
  const stopDrawing = keepDrawing();
  try {
    while (!signal.aborted && writers.some(({ hasRoom }) => hasRoom)) {
      const options = { ...controls.sampling(), ignoreEos: true };
      for (const writer of writers) {
        if (!writer.hasRoom) continue;
        await writer.step(options);
        if (!writer.hasRoom) {
          writer.story.remark(`Full attention has no room beyond ${count(writer.model.info.maxPositions)} tokens.`);
        }
      }
      if (controls.pace()) await new Promise((resolve) => setTimeout(resolve, controls.pace()));
    }
    say(`Stopped after ${count(writers[0]?.session?.length ?? 0)} tokens.`);
    enter("paused");
  } catch (error) {
    // If it was no wrong number in a field, the engine is lost, and the next Start loads it anew.
    if (!(error instanceof OptionError)) loadedWith = "";
    throw error;
  } finally {
    stopDrawing();
  }
}

/** Text with every frame, numbers a few times a second. */
function keepDrawing(): () => void {
  let last = 0;
  let frame = 0;
  const tick = (now: number) => {
    const due = now - last >= NUMBERS;
    if (due || !calm.matches) for (const { story } of writers) story.flush();
    if (due) {
      last = now;
      drawNumbers();
    }
    frame = requestAnimationFrame(tick);
  };
  frame = requestAnimationFrame(tick);
  return () => {
    cancelAnimationFrame(frame);
    for (const { story } of writers) story.flush();
    drawNumbers();
  };
}

function clear(): void {
  for (const writer of writers) writer.clear();
  drawNumbers();
  say("");
  complain(undefined);
  enter("empty");
  prompt.focus();
}

const stop = () => control.abort();

part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (phase === "writing") stop();
  else if (phase === "paused") void attempt(write);
  else if (phase === "empty") void start();
});
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) part<HTMLFormElement>("ask").requestSubmit();
});
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && (phase === "writing" || phase === "loading")) stop();
});
fresh.addEventListener("click", clear);
part("cancel").addEventListener("click", stop);

save.addEventListener("click", () =>
  attempt(async () => {
    const session = writers[0]?.session;
    if (!session) return;
    const bytes = await session.snapshot();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes]));
    link.download = `story-${session.length}.safetensors`;
    link.click();
    URL.revokeObjectURL(link.href);
    part("session-bytes").textContent = size(bytes.length);
    say(`Saved at position ${count(session.length)}.`);
  }),
);

part<HTMLInputElement>("restore").addEventListener("change", (event) => {
  const input = event.target as HTMLInputElement;
  const [file] = input.files ?? [];
  input.value = "";
  if (!file || phase === "writing") return;
  void attempt(async (signal) => {
    // A session is of one model alone.
    beside.checked = false;
    await prepare(signal);
    await writers[0]?.restore(new Uint8Array(await file.arrayBuffer()));
    drawNumbers();
    enter("paused");
    say("Restored. Continue goes on from there.");
  });
});

/** Another model; if it cannot be loaded, the one before stays. */
function use(other: Source): Promise<void> {
  const before = source;
  return attempt(async (signal) => {
    try {
      source = other;
      await prepare(signal);
    } catch (error) {
      source = before;
      throw error;
    }
    part("embedded").hidden = source.name === EMBEDDED;
    enter("empty");
    say(`${source.name} is ready.`);
  });
}

const byName = (files: readonly File[]) => Object.fromEntries(files.map((file) => [file.name, file]));

function useFolder(files: readonly File[]): void {
  if (phase === "writing" || phase === "loading" || files.length === 0) return;
  const name = files[0]?.webkitRelativePath.split("/")[0] || "dropped model";
  void use({ name, blobs: byName(files) });
}

part<HTMLInputElement>("folder").addEventListener("change", (event) => {
  useFolder([...((event.target as HTMLInputElement).files ?? [])]);
});
part("embedded").addEventListener("click", () => void use({ name: EMBEDDED }));
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
window.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer) void droppedFiles(event.dataTransfer).then(useFolder, complain);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawNumbers);
window.addEventListener("resize", drawNumbers);

controls.offerThreads();
await use(source);
void keepOffline((text, action) => {
  const line = part("offline");
  line.textContent = text;
  if (!action) return;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: action.name });
  button.addEventListener("click", action.run);
  line.append(" ", button);
});

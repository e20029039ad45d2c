import { engineInfo, type Files, OptionError } from "lambent";
import * as controls from "./controls.ts";
import { part } from "./controls.ts";
import { chosen, dropped, EMBEDDED, fetchEmbedded } from "./model_files.ts";
import { keepOffline } from "./offline.ts";
import { draw, type Line } from "./plot.ts";
import { count, size, wordsOf } from "./words.ts";
import { loadWriters, type Writer } from "./writer.ts";

/** Time between two redraws of figures and plot, in ms. */
const NUMBERS = 125;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

type Phase = "empty" | "loading" | "writing" | "paused";

/** The files of the model, and those of the embedded one once they have been fetched. */
let files: Files | undefined;
let embedded: Files | undefined;
let writers: Writer[] = [];
/** What the writers were loaded from; undefined if their engines are lost. */
let loaded: { readonly files: Files; readonly key: string } | undefined;
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

/** Runs work that can fail or be cancelled; errors are shown, and the page stays usable. */
async function attempt(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  complain(undefined);
  control = new AbortController();
  const { signal } = control;
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) say("Cancelled.");
    else complain(error);
    drawNumbers();
    enter(loaded && writers[0]?.session ? "paused" : "empty");
  }
}

/** Loads the writers that the page asks for, unless they are loaded already. */
async function prepare(signal: AbortSignal): Promise<void> {
  const options = controls.loading();
  const room = beside.checked ? controls.room() : undefined;
  const key = JSON.stringify([options, room]);
  if (loaded && loaded.files === files && loaded.key === key) return;
  enter("loading");
  files ??= embedded ??= await fetchEmbedded(signal, (read, total) => progress("Fetching", EMBEDDED, read, total));
  const { name } = files;
  const next = await loadWriters(files, options, room, signal, (read, total) => progress("Reading", name, read, total));
  for (const { model } of writers) model.dispose();
  for (const writer of next) await writer.measure();
  writers = next;
  loaded = { files, key };
  controls.showEngine(await engineInfo(options));
  show();
}

function progress(what: string, name: string, read: number, total: number): void {
  part("loading-what").textContent = `${what} ${name}: ${size(read)} of ${size(total)}`;
  part<HTMLProgressElement>("progress").value = read / total;
}

/** Shows the writers on the page. */
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
    say("Reading …");
    try {
      // The same seed for all: only the attention differs.
      const seed = controls.seed();
      for (const writer of writers) await writer.begin(prompt.value, seed ?? writers[0]?.session?.seed, signal);
    } catch (error) {
      for (const writer of writers) writer.clear();
      throw error;
    }
    await write(signal);
  });

/** Writes until stopped. The writers alternate token by token, so that each has the whole machine and all are at the same position. */
async function write(signal: AbortSignal): Promise<void> {
  enter("writing");
  writers[0]?.part(".story").scrollIntoView({ block: "nearest", behavior: calm.matches ? "instant" : "smooth" });
  say(`Writing${writers.length > 1 ? ", alternating token by token" : ""} …`);
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
    // Unless a field had an invalid value, the engine is lost, and the next Start reloads it.
    if (!(error instanceof OptionError)) loaded = undefined;
    throw error;
  } finally {
    stopDrawing();
  }
}

/** Redraws the text every frame, the figures a few times a second. */
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
    part("session-bytes").textContent = ` (${size(bytes.length)})`;
    say(`Saved at position ${count(session.length)}.`);
  }),
);

part<HTMLInputElement>("restore").addEventListener("change", (event) => {
  const input = event.target as HTMLInputElement;
  const [file] = input.files ?? [];
  input.value = "";
  if (!file || phase === "writing") return;
  void attempt(async (signal) => {
    // A session belongs to one model.
    beside.checked = false;
    await prepare(signal);
    await writers[0]?.restore(new Uint8Array(await file.arrayBuffer()));
    drawNumbers();
    enter("paused");
    say("Restored. Press Continue.");
  });
});

/** Switches to another model; undefined: the embedded one. If it cannot be loaded, the current one stays. */
async function use(other: () => Files | undefined | Promise<Files>): Promise<void> {
  if (phase === "writing" || phase === "loading") return;
  const before = files;
  await attempt(async (signal) => {
    try {
      files = await other();
      await prepare(signal);
    } catch (error) {
      files = before;
      throw error;
    }
    part("embedded").hidden = files === embedded;
    enter("empty");
    say(`${files?.name} is ready.`);
  });
}

for (const name of ["folder", "file"]) {
  part<HTMLInputElement>(name).addEventListener("change", (event) => {
    const input = event.target as HTMLInputElement;
    const files = [...(input.files ?? [])];
    // So that the same one can be chosen again.
    input.value = "";
    if (files.length) void use(() => chosen(files));
  });
}
part("embedded").addEventListener("click", () => void use(() => embedded));
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
window.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const { dataTransfer } = event;
  if (dataTransfer) void use(() => dropped(dataTransfer));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawNumbers);
window.addEventListener("resize", drawNumbers);

controls.offerThreads();
await use(() => undefined);
void keepOffline((text, action) => {
  const line = part("offline");
  line.textContent = text;
  if (!action) return;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: action.name });
  button.addEventListener("click", action.run);
  line.append(" ", button);
});

import { type Files, type LayerHead, type LoadOptions, load, type Model, type Session } from "lambent";
import { Book, type Passage } from "./book.ts";
import { offerThreads, part } from "./controls.ts";
import { chosen, dropped, EMBEDDED, fetchEmbedded } from "./model_files.ts";
import { count, size, wordsOf } from "./words.ts";

/** Folders of the browser's own file system that start so have what was read of a book beyond the window. */
const LOGS = "lambent-book-";
/** Bytes of it that stay in memory. */
const MEMORY = 8 * 2 ** 20;
/** Tokens that are read between two looks at the page. */
const PIECE = 2048;
/** Characters of a token, at least, in the text of a book: as many are kept as it may have. */
const CHARACTERS = 3;

/** The files of the model; undefined: the embedded one, which is not fetched yet. */
let files: Files | undefined;
let model: Model | undefined;
let book: Book | undefined;
/** Behind the book's last token. */
let session: Session | undefined;
let control = new AbortController();

const text = part<HTMLTextAreaElement>("text");
const question = part<HTMLTextAreaElement>("question");
const value = (id: string) => part<HTMLInputElement>(id).value.trim();
const say = (words: string) => (part("status").textContent = words);

function enter(phase: "empty" | "loading" | "read"): void {
  document.body.dataset.phase = phase;
  part<HTMLButtonElement>("read").disabled = phase === "loading";
  part<HTMLButtonElement>("go").disabled = phase !== "read";
  part("loading").hidden = phase !== "loading";
}

function progress(what: string, done: number, total: number): void {
  part("loading-what").textContent = what;
  part<HTMLProgressElement>("progress").value = done / total;
}

/** Runs work that can fail or be cancelled; errors are shown, and the page stays usable. */
async function attempt(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  part("error").textContent = "";
  control = new AbortController();
  const { signal } = control;
  enter("loading");
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) say("Cancelled.");
    else part("error").textContent = wordsOf(error);
  }
  enter(session ? "read" : "empty");
}

/** The model, with room to look back at a text of so many characters. */
async function loadFor(characters: number, signal: AbortSignal): Promise<Model> {
  files ??= await fetchEmbedded(signal, (read, total) => {
    progress(`Fetching ${EMBEDDED}: ${size(read)} of ${size(total)}`, read, total);
  });
  const { name } = files;
  const layers = value("recall_layers");
  const gate = value("recall_gate");
  return load(files, {
    signal,
    maxSessions: 2,
    cacheDtype: "bf16",
    ...(globalThis.crossOriginIsolated ? { threads: Number(value("threads")) } : {}),
    nLocal: 512,
    recall: Number(value("recall")),
    recallTokens: Math.ceil(characters / CHARACTERS) + PIECE,
    ...(await newLog()),
    ...(layers === "" ? {} : layersOrHeads(layers)),
    ...(gate === "" ? {} : { recallGate: Number(gate) }),
    onProgress: ({ loaded, total }) => progress(`Loading ${name}: ${size(loaded)} of ${size(total)}`, loaded, total),
  });
}

/** Layers, or heads of them where they have colons. */
function layersOrHeads(text: string): Pick<LoadOptions, "recallLayers" | "recallHeads"> {
  const parts = text.split(",").map((part) => part.split(":").map(Number));
  if (parts.every(([, head]) => head === undefined)) return { recallLayers: parts.map(([layer]) => layer as number) };
  return { recallHeads: parts as unknown as LayerHead[] };
}

/** A folder for a book, in place of those of books that no page reads any more; none where the browser has no such files. */
async function newLog(): Promise<Pick<LoadOptions, "recallStore" | "recallMemory">> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  if (!root) return {};
  for await (const name of root.keys()) {
    // Files that another page reads stay.
    if (name.startsWith(LOGS)) await root.removeEntry(name, { recursive: true }).catch(() => {});
  }
  return { recallStore: `${LOGS}${crypto.randomUUID()}`, recallMemory: MEMORY };
}

async function read(signal: AbortSignal): Promise<void> {
  if (text.value.trim() === "") throw new Error("expected a text to read, found none");
  session?.dispose();
  session = undefined;
  model?.dispose();
  model = await loadFor(text.value.length, signal);
  part("window").textContent = count(model.info.nLocal);
  book = new Book(model.tokenizer, text.value);
  part("pages").replaceChildren(...book.elements);
  part("pages").hidden = false;
  show("", []);
  const reader = await model.session();
  const { ids } = book;
  const begun = performance.now();
  for (let at = 0; at < ids.length; at += PIECE) {
    await reader.append(ids.slice(at, at + PIECE), { recall: false, signal });
    const done = Math.min(ids.length, at + PIECE);
    const rate = done / ((performance.now() - begun) / 1000);
    progress(`Reading: ${count(done)} of ${count(ids.length)} tokens, ${count(rate)} per second`, done, ids.length);
  }
  session = reader;
  say(`${count(ids.length)} tokens were read, in ${size(model.info.memoryBytes)} of memory.`);
  question.focus();
}

async function ask(signal: AbortSignal): Promise<void> {
  if (!session || !book) return;
  const asked = question.value.trim();
  if (asked === "") throw new Error("expected a sentence to go on with, found none");
  const fork = await session.fork();
  try {
    say("");
    progress("Answering", 0, 1);
    const most = Number(value("tokens"));
    let answer = "";
    await fork.append(`\n\n${asked}`, { signal });
    const generation = fork.generate(undefined, { maxNewTokens: most, temperature: 0, signal });
    for await (const token of generation.tokens()) {
      answer += token.text;
      show(`${asked}${answer}`, []);
      progress("Answering", answer.length, 4 * most);
    }
    const passages = book.light(await fork.recalled());
    show(`${asked}${answer}`, passages);
    passages[0]?.element.scrollIntoView({ block: "nearest" });
    say(passages.length > 0 ? "The marked passages are what it has looked back at." : "It has looked back at nothing.");
  } finally {
    fork.dispose();
  }
}

function show(answer: string, passages: readonly Passage[]): void {
  part("answer").hidden = answer === "";
  part("answer").textContent = answer;
  part("sources").replaceChildren(
    ...passages.map(({ text, weight, element }) => {
      const item = document.createElement("li");
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      button.addEventListener("click", () => element.scrollIntoView({ block: "center" }));
      item.append(button, ` ${(100 * weight).toFixed(1)} %`);
      return item;
    }),
  );
}

/** Another model, with which the text is to be read again. */
async function use(other: () => Files | Promise<Files>): Promise<void> {
  if (document.body.dataset.phase === "loading") return;
  await attempt(async () => {
    files = await other();
    session?.dispose();
    session = undefined;
    say(`${files.name} reads from now on.`);
  });
}

part("book").addEventListener("submit", (event) => {
  event.preventDefault();
  void attempt(read);
});
part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  void attempt(ask);
});
part("cancel").addEventListener("click", () => control.abort());
for (const name of ["folder", "file"]) {
  part<HTMLInputElement>(name).addEventListener("change", (event) => {
    const input = event.target as HTMLInputElement;
    const some = [...(input.files ?? [])];
    input.value = "";
    if (some.length) void use(() => chosen(some));
  });
}
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  const { dataTransfer } = event;
  const [file] = dataTransfer?.files ?? [];
  if (!dataTransfer || !file) return;
  if (!file.name.endsWith(".txt")) return void use(() => dropped(dataTransfer));
  void file.text().then((dropped) => {
    text.value = dropped;
    say(`${file.name}: ${count(dropped.length)} characters. Press Read.`);
  });
});

// Scrollable content must be reachable by keyboard.
part("pages").tabIndex = 0;
offerThreads();
enter("empty");

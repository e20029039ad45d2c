/** The files of models: those of the embedded one, fetched, and those of chosen or dropped folders or GGUF files. */
import { type Files, filesFromBlobs } from "lambent";

export const EMBEDDED = "lambent-llama-5m";
const FOLDER = new URL(`./models/${EMBEDDED}/`, import.meta.url);
const FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

type Progress = (loaded: number, total: number) => void;

/** Fetches whole files: once for all models made from them, in the form that the service worker caches. */
export async function fetchEmbedded(signal: AbortSignal, onProgress: Progress): Promise<Files> {
  let loaded = 0;
  let total = 0;
  const fetchFile = async (file: string) => {
    const response = await fetch(new URL(file, FOLDER), { signal });
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    total += Number(response.headers.get("content-length"));
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const reader = response.body.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      parts.push(read.value);
      loaded += read.value.length;
      // Without Content-Length, or with that of compressed bytes, progress is at least capped at 100 %.
      onProgress(loaded, Math.max(loaded, total));
    }
    return [file, new Blob(parts)] as const;
  };
  const blobs = FILES.map((file) =>
    fetchFile(file).catch((error: Error) => {
      signal.throwIfAborted();
      throw new Error(`${file}: expected to be fetched, found ${error.message}`);
    }),
  );
  return filesFromBlobs(EMBEDDED, Object.fromEntries(await Promise.all(blobs)));
}

/** A chosen folder, or a GGUF file or several parts of one. */
export function chosen(files: readonly File[]): Files {
  const [first] = files;
  return filesFromBlobs(first?.webkitRelativePath.split("/")[0] || first?.name || "chosen files", files);
}

/** A dropped folder, or dropped files, such as one of GGUF. Call it within the event's handler: afterwards the event is empty. */
export async function dropped({ items }: DataTransfer): Promise<Files> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const folder = entries.find((entry) => entry.isDirectory) as FileSystemDirectoryEntry | undefined;
  const inside = (folder ? await entriesOf(folder) : entries).filter((entry) => entry.isFile);
  const files = inside.map((entry) => {
    return new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
  });
  return filesFromBlobs(folder?.name ?? inside[0]?.name ?? "dropped files", await Promise.all(files));
}

/** A directory reader returns at most 100 entries per call. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

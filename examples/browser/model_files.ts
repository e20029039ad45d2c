/** The files of models: of the embedded one, which are fetched, and of folders that are chosen or dropped. */
import { type Files, filesFromBlobs } from "lambent";

export const EMBEDDED = "lambent-llama-5m";
const FOLDER = new URL(`./models/${EMBEDDED}/`, import.meta.url);
const FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

type Progress = (loaded: number, total: number) => void;

/** Fetches whole files: once for all models that are made of them, and as the service worker keeps them. */
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
      // Without lengths, or with those of packed bytes, there is at least no more than all.
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

/** A folder that was chosen. */
export function chosenFolder(files: readonly File[]): Files {
  return filesFromBlobs(files[0]?.webkitRelativePath.split("/")[0] || "chosen files", files);
}

/** A folder, or files, that were dropped. Call it in the event's handler: later the event has nothing any more. */
export async function droppedFolder({ items }: DataTransfer): Promise<Files> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const folder = entries.find((entry) => entry.isDirectory) as FileSystemDirectoryEntry | undefined;
  const inside = (folder ? await entriesOf(folder) : entries).filter((entry) => entry.isFile);
  const files = inside.map((entry) => {
    return new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
  });
  return filesFromBlobs(folder?.name ?? "dropped files", await Promise.all(files));
}

/** A reader gives a hundred at a time. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** The files of models: of the embedded one, which are fetched, and of folders that are chosen or dropped. */

export const EMBEDDED = "lambent-llama-5m";
const FOLDER = new URL(`./models/${EMBEDDED}/`, import.meta.url);
const FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

export type Progress = (loaded: number, total: number) => void;

/** Fetches whole files, which the service worker keeps as they are. */
export async function fetchEmbedded(signal: AbortSignal, onProgress: Progress): Promise<Record<string, Blob>> {
  const responses = await Promise.all(
    FILES.map(async (file) => {
      const response = await fetch(new URL(file, FOLDER), { signal });
      if (!response.ok) throw new Error(`${file}: expected to be fetched, found HTTP ${response.status}`);
      return response;
    }),
  );
  const total = responses.reduce((sum, { headers }) => sum + Number(headers.get("content-length")), 0);
  let loaded = 0;
  const blobs = responses.map(async (response, i) => {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for await (const part of response.body as ReadableStream<Uint8Array<ArrayBuffer>>) {
      parts.push(part);
      loaded += part.length;
      onProgress(loaded, Math.max(loaded, total));
    }
    return [FILES[i] as string, new Blob(parts)] as const;
  });
  return Object.fromEntries(await Promise.all(blobs));
}

/** The folder, or the files, of a drop. Call it in the event's handler: what was dropped is there no longer than that. */
export function droppedFiles(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return Promise.all(entries.map(filesOf)).then((files) => files.flat());
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile)
    return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  // A reader gives a hundred at a time.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const inner of entries) if (inner.isFile) files.push(...(await filesOf(inner)));
  }
}

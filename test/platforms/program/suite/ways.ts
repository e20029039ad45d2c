/** The ways in which a model comes to be loaded; all of them give the bits of the plainest one. */
import {
  type Bucket,
  type Files,
  filesFromBlobs,
  filesFromBucket,
  filesFromStreams,
  filesFromUrl,
  type LoadOptions,
  load,
  type Where,
} from "lambent";
import { written } from "./bits.ts";
import { type Case, hash, LLAMA, logitsAfterEach, modelUrl, type Setting } from "./case.ts";

const FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
const GGUF = "qwen2.gguf";

export function ways(setting: Setting): Case[] {
  const { directory, host, threads } = setting;
  const url = modelUrl(setting, LLAMA);
  const by = (name: string, where: (() => Where | Promise<Where>) | undefined, options: LoadOptions = {}): Case => ({
    name: `way: ${name}`,
    same: `bits: ${LLAMA} ${options.dtype ?? "bf16"}`,
    absent: where ? undefined : "not to be had here",
    async run() {
      const model = await load(await (where as () => Where)(), { threads, ...options });
      try {
        return await written(model);
      } finally {
        model.dispose();
      }
    },
  });
  const { embedded } = host;
  const golden = setting.goldens.find(({ model }) => model === `gguf/${GGUF}`);
  const gguf = (name: string, where: () => Where | Promise<Where>, options: LoadOptions = {}): Case => ({
    name: `way: a GGUF file from ${name}`,
    same: `golden: gguf/${GGUF}`,
    async run() {
      const model = await load(await where(), { threads: 1, ...golden?.options, ...options });
      try {
        return hash(await logitsAfterEach(model, golden?.ids ?? []));
      } finally {
        model.dispose();
      }
    },
  });
  const folder = modelUrl(setting, "gguf");
  return [
    gguf("a URL and its name", () => `${folder}/`, { file: GGUF }),
    gguf("blobs", async () => filesFromBlobs("x", { [GGUF]: await (await fetch(`${folder}/${GGUF}`)).blob() })),
    gguf("a stream that is read once", async () => {
      const { body } = await fetch(`${folder}/${GGUF}`);
      const stream = body as ReadableStream<Uint8Array>;
      return filesFromStreams("x", { [GGUF]: { size: await sizeOf(`${folder}/${GGUF}`), stream } });
    }),
    gguf("a bucket", () => filesFromBucket(bucket(host.base), `models/gguf/${GGUF}`)),
    by("a URL", () => new URL(url)),
    by("a directory", directory === undefined ? undefined : () => `${directory}/${LLAMA}`),
    by("the package's model", embedded && (() => embedded)),
    by("with the engine in a worker", directory === undefined ? undefined : () => url, { worker: true }),
    by("filesFromUrl", () => filesFromUrl(url)),
    by("filesFromBlobs", () => blobs(url)),
    by("filesFromStreams", () => streams(url)),
    by("filesFromStreams, quantised", () => streams(url), { dtype: "q4" }),
    by("filesFromBucket", () => filesFromBucket(bucket(host.base), `models/${LLAMA}`)),
  ];
}

async function blobs(url: string): Promise<Files> {
  const named = async (file: string) => [file, await (await fetch(`${url}/${file}`)).blob()] as const;
  return filesFromBlobs(LLAMA, Object.fromEntries(await Promise.all(FILES.map(named))));
}

async function streams(url: string): Promise<Files> {
  const named = async (file: string) => {
    const open = async () => (await fetch(`${url}/${file}`)).body as ReadableStream<Uint8Array>;
    return [file, { size: await sizeOf(`${url}/${file}`), open }] as const;
  };
  return filesFromStreams(LLAMA, Object.fromEntries(await Promise.all(FILES.map(named))));
}

/** An object store of what the server has. */
function bucket(base: string): Bucket {
  return {
    async head(key) {
      const size = await sizeOf(base + key);
      return Number.isNaN(size) ? null : { size };
    },
    async get(key, { range: { offset, length } }) {
      const headers = { range: `bytes=${offset}-${offset + length - 1}` };
      const { body } = await fetch(base + key, { headers });
      return { size: await sizeOf(base + key), body };
    },
  };
}

/** Bytes of a served file; NaN if there is none. */
async function sizeOf(url: string): Promise<number> {
  const response = await fetch(url, { headers: { range: "bytes=0-0" } });
  await response.arrayBuffer();
  return Number(response.headers.get("content-range")?.match(/\d+$/)?.[0]);
}

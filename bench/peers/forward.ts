import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { directory as files } from "../../src/sources/directory.ts";
import { run, temporaryFolder } from "./child.ts";

/** The embedded model's forward pass as a C program for this machine: what portability costs. */
export interface ForwardResult {
  readonly compiler: string;
  readonly threads: number;
  /** Of one new token, the median. */
  readonly millisecondsPerToken?: number;
  /** Whether the first greedy ids are those of the model's reference.json. */
  readonly equalsReference?: boolean;
  readonly error?: string;
}

const MODEL = join(import.meta.dirname, "../../models/lambent-llama-5m");
const COMPILERS = ["gcc", "clang"];
const FLAGS = ["-Ofast", "-fopenmp", "-march=native"];
/** From 14 to 414: inside the window, where Λ-attention is plain causal attention. */
const NEW = 400;
const RUNS = 3;
const TIMEOUT_MS = 60_000;

/** For every number of threads the result of the faster compiler; of none, the errors. */
export async function forward(threads: readonly number[], directory = MODEL): Promise<ForwardResult[]> {
  using folder = temporaryFolder();
  const weights = join(folder.path, "weights.f32");
  writeFileSync(weights, await flatten(directory));
  const results: ForwardResult[] = [];
  for (const compiler of COMPILERS)
    for (const n of threads) results.push(await measure(compiler, folder.path, weights, n, directory));
  return threads.flatMap((n) => {
    const all = results.filter(({ threads }) => threads === n);
    const good = all.filter(({ millisecondsPerToken }) => millisecondsPerToken !== undefined);
    if (good.length === 0) return all;
    return [good.reduce((a, b) => (a.millisecondsPerToken! <= b.millisecondsPerToken! ? a : b))];
  });
}

async function measure(
  compiler: string,
  folder: string,
  weights: string,
  threads: number,
  directory: string,
): Promise<ForwardResult> {
  try {
    const program = join(folder, `forward-${compiler}`);
    const source = join(import.meta.dirname, "forward.c");
    await run([compiler, ...FLAGS, source, "-o", program, "-lm"], folder, TIMEOUT_MS);
    const version = (await run([compiler, "--version"], folder, TIMEOUT_MS)).split("\n")[0] as string;
    const reference = JSON.parse(readFileSync(join(directory, "reference.json"), "utf8")).greedy64[0] as {
      ids: number[];
      new_ids: number[];
    };
    const command = [program, weights, `${NEW}`, ...reference.ids.map(String)];
    const env = { OMP_NUM_THREADS: `${threads}`, OMP_WAIT_POLICY: "active", OMP_PROC_BIND: "true" };
    let best = Infinity;
    let equal = true;
    for (let i = 0; i < RUNS; i++) {
      const { ids, ms } = JSON.parse(await run(command, folder, TIMEOUT_MS, env)) as { ids: number[]; ms: number };
      best = Math.min(best, ms);
      equal &&= reference.new_ids.every((id, i) => ids[i] === id);
    }
    const about = `${version}, ${FLAGS.join(" ")}`;
    return { compiler: about, threads, millisecondsPerToken: best, equalsReference: equal };
  } catch (error) {
    return { compiler, threads, error: (error as Error).message };
  }
}

/** A LLaMA checkpoint as one run of 32-bit numbers: the sizes, then the matrices in the order of forward.c. */
async function flatten(directory: string): Promise<Uint8Array> {
  const checkpoint = await openDirectory(files(directory));
  try {
    const { config, tensors } = checkpoint;
    const size = (key: string) => config[key] as number;
    const head = size("head_dim") ?? size("hidden_size") / size("num_attention_heads");
    const sizes = Int32Array.of(
      ...[size("hidden_size"), size("intermediate_size"), size("num_hidden_layers"), size("num_attention_heads")],
      ...[size("num_key_value_heads"), head, size("vocab_size"), size("max_position_embeddings")],
    );
    const names = [
      "model.embed_tokens",
      ...Array.from({ length: size("num_hidden_layers") }, (_, i) =>
        [
          ...["input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
          ...["post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
        ].map((part) => `model.layers.${i}.${part}`),
      ).flat(),
      "model.norm",
    ];
    const parts: Uint8Array[] = [
      new Uint8Array(sizes.buffer),
      new Uint8Array(Float32Array.of(size("rms_norm_eps"), size("rope_theta")).buffer),
    ];
    for (const name of names) {
      const { source, begin, end, dtype } = tensors.get(`${name}.weight`)!;
      if (dtype !== "BF16") throw new Error(`${name}: expected BF16, found ${dtype}`);
      const stored = new Uint16Array((end - begin) / 2);
      await source.readInto(new Uint8Array(stored.buffer), begin);
      parts.push(new Uint8Array(Uint32Array.from(stored, (bits) => bits << 16).buffer));
    }
    return Buffer.concat(parts);
  } finally {
    await checkpoint.close();
  }
}

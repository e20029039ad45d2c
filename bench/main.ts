import { join } from "node:path";
import { Command, Option } from "commander";
import { layerHeads } from "../src/cli/options.ts";
import { POLICIES, type PolicyName } from "../src/plan/policy.ts";
import { detectHost } from "../src/runtime/detect.ts";
import { provideRuntime } from "../src/runtime/index.ts";
import { banks } from "./suites/banks.ts";
import { batch } from "./suites/batch.ts";
import { busy } from "./suites/busy.ts";
import { chat } from "./suites/chat.ts";
import { choose } from "./suites/choose.ts";
import { decode } from "./suites/decode.ts";
import { gemma } from "./suites/gemma.ts";
import { grammar } from "./suites/grammar.ts";
import { kernels } from "./suites/kernels.ts";
import { lambda } from "./suites/lambda.ts";
import { lookup } from "./suites/lookup.ts";
import { EMBEDDED, names, numbers, suiteOptions } from "./suites/options.ts";
import { againstPeers } from "./suites/peers.ts";
import { reportMachine } from "./suites/performance.ts";
import { prompts } from "./suites/prompts.ts";
import { quality } from "./suites/quality.ts";
import { recall } from "./suites/recall.ts";
import { runtimes } from "./suites/runtimes.ts";
import { serve } from "./suites/serve.ts";
import { startup } from "./suites/startup.ts";
import { step } from "./suites/step.ts";
import { story } from "./suites/story.ts";

provideRuntime(detectHost);

const program = new Command("bench").description("Measurements; each prints the machine and the command that made it");
const suite = (name: string, description: string, options = {}) =>
  suiteOptions(program.command(name, options).description(description));

suite("kernels", "matmuls alone: of one row beside the read loop, of 128 beside the multiply loops")
  .option("--shapes <names>", "such as 4096x4096, outputs first (default: six of LLaMA-7B and TinyLlama)", names)
  .option("--dtypes <names>", "weight formats (default: all)", names)
  .option("--threads <counts>", "threads", numbers, [1, 2])
  .action(kernels);
suite("decode", "one token, and 128, by format, threads and position, beside the read loop", { isDefault: true })
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtypes <names>", "weight formats (default: all)", names)
  .option("--cache-dtypes <names>", "cache formats (default: all)", names)
  .option("--threads <counts>", "threads (default: all)", numbers)
  .option("--positions <numbers>", "positions (default: 128,2048)", numbers)
  .addOption(new Option("--policies <names...>", "attention policies").choices(POLICIES).default(["lambda", "full"]))
  .action(decode);
suite(
  "batch",
  "sessions that generate at once: tokens per second beside one session's, and how long one waits for another",
)
  .option("--models <names>", "directories, embedded or tinyllama-1.1b (default: these two)", names)
  .option("--dtypes <names>", "weight formats", names, ["q8", "q7", "q4", "bf16"])
  .option("--sessions <counts>", "how many at once, ascending", numbers, [1, 2, 4, 8, 16, 32])
  .option("--threads <n>", "threads", Number, 2)
  .action(batch);
suite("lookup", "prompt lookup: tokens per second beside none, of a text that repeats itself and of others")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtype <format>", "weight format (default: as stored)")
  .option("--threads <n>", "threads", Number, 2)
  .option("--num-tokens <counts>", "tokens that are looked up at most", numbers, [4, 10, 20])
  .action(lookup);
suite("grammar", "masks of schemas, patterns and grammars: time per token of a tokenizer, and to compile them")
  .option("--model <dir or file>", "checkpoint, of which the tokenizer is read", EMBEDDED)
  .action(grammar);
suite("runtimes", "the same steps in Bun, Node 24 and Deno, each in a process of its own")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtypes <names>", "weight formats (default: all)", names)
  .option("--threads <counts>", "threads (default: all)", numbers)
  .option("--positions <numbers>", "positions (default: 128,2048)", numbers)
  .option("--only <runtimes>", "bun, node, deno (default: all)", names)
  .action(runtimes);
suite("lambda", "Λ against full attention from 512 to 131,072 tokens: time per token, to read a text, session bytes")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtype <format>", "weight format (default: as stored)")
  .option("--cache-dtype <format>", "cache format", "f32")
  .option("--threads <n>", "threads", Number, 1)
  .option("--max <n>", "the last position (default: 131072)", Number)
  .option("--encode-max <n>", "tokens of the longest text that is read (default: 32768)", Number)
  .action(lambda);
suite("quality", "perplexity of held-out novels under every format beside f32, also with outlier channels")
  .option("--models <names>", "of models/ (default: the three)", names)
  .option("--dtypes <names>", "weight formats (default: all)", names)
  .option("--cache-dtypes <names>", "cache formats (default: all)", names)
  .option("--tokens <n>", "tokens that are scored per model", Number, 20480)
  .option("--threads <n>", "threads", Number, 1)
  .action(quality);
suite("startup", "from the start of the process to the first token, and its phases")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--rounds <n>", "starts at least", Number, 15)
  .action(startup);
suite("peers", "llama.cpp and others beside us, on a checkpoint of TinyLlama's shape")
  .option("--model <dir>", "checkpoint (default: a synthetic one of TinyLlama's shape)")
  .option("--dtypes <names>", "our weight formats (default: all but f32 and f16)", names)
  .option("--threads <counts>", "threads", numbers, [1, 2])
  .option("--only <names>", "peers (default: all)", names)
  .action(againstPeers);
suite("banks", "models of 7B at their published shapes, with random weights: memory, load time, tokens per second")
  .option("--shapes <names>", "shapes", names, ["llama-7b", "llama-2-7b", "mpt-7b", "mpt-7b-storywriter", "gpt-j-6b"])
  .option("--dtypes <names>", "weight formats", names, ["q4", "q8"])
  .option("--threads <n>", "threads", Number, 2)
  .option("--layers <n>", "fewer layers than the shape has", Number)
  .option("--dir <dir>", "where checkpoints are written and kept (default: a temporary folder)")
  .option("--native", "llama.cpp beside it")
  .action(banks);
suite("gemma", "Gemma 3 270M as its GGUF stores it, in Bun, Node and Deno, beside llama.cpp and others")
  .option("--model <file>", "the GGUF (default: gemma-3-270m-q4_k_m.gguf in the folder LAMBENT_MODELS)")
  .option("--threads <counts>", "threads", numbers, [1, 2])
  .option("--rounds <n>", "runs of each, in turns", Number, 3)
  .option("--only <names>", "of bun, node, deno, native, wllama, transformers (default: all)", names)
  .action(gemma);
suite(
  "serve",
  "clients that ask lambent serve at once: tokens per second, first token, longest gap; llama.cpp beside it",
)
  .option("--model <where>", "directory or GGUF", EMBEDDED)
  .option("--threads <n>", "threads", Number, 2)
  .option("--clients <counts>", "how many at once", numbers, [1, 4, 16, 64])
  .option("--rounds <n>", "requests of each client", Number, 2)
  .option("--native", "llama.cpp beside it, which reads GGUF files only")
  .action(serve);
suite(
  "chat",
  "a long conversation through two routes of lambent serve: time per turn, memory, whether the system turn holds",
)
  .option("--model <where>", "directory or GGUF", EMBEDDED)
  .option("--threads <n>", "threads", Number, 2)
  .option("--turns <n>", "questions and answers", Number, 200)
  .option("--window <n>", "nLocal, and the context of llama.cpp", Number, 512)
  .option("--native", "llama.cpp beside it, which reads GGUF files only")
  .action(chat);
suite("step", "one token by part: every kind of record, meeting of threads, choosing, hashing, the event loop")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtype <format>", "weight format (default: as stored)")
  .option("--threads <counts>", "threads", numbers, [1, 2])
  .option("--position <n>", "position", Number, 128)
  .action(step);
suite("choose", "a token from logits, by the size of the vocabulary and how it is chosen")
  .option("--sizes <counts>", "tokens of the vocabulary", numbers, [32000, 151936, 262144])
  .action(choose);
suite("prompts", "a prompt: the first after loading beside later ones, by format of the cache")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtype <format>", "weight format (default: as stored)")
  .option("--threads <n>", "threads", Number, 2)
  .option("--tokens <n>", "tokens of the prompt", Number, 128)
  .action(prompts);
suite("busy", "two threads while another program keeps a core busy, second by second, beside one")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--dtype <format>", "weight format (default: as stored)")
  .option("--position <n>", "position", Number, 128)
  .action(busy);
suite("recall", "a token that looks back into a log of a session, by the length of its text, beside one without recall")
  .option("--model <where>", "directory or GGUF", join(EMBEDDED, "../lambent-gptj-6m"))
  .option("--text <files>", "texts, one after the other", names, [join(EMBEDDED, "../texts/austen-persuasion.txt")])
  .option("--lengths <counts>", "tokens that were read", numbers, [100_000, 1_000_000])
  .option("--n-local <n>", "nLocal", Number, 512)
  .option("--recall-layers <numbers>", "layers that look back (default: the model's)", numbers)
  .option("--recall <n>", "tokens that each head attends to", Number, 4)
  .option("--recall-heads <layer:head,…>", "heads that look back (default: the model's)", layerHeads)
  .option("--recall-distance <n>", "distance at which (default: the model's)", Number)
  .option("--recall-blocks <n>", "blocks that are looked into (default: as many as the library does)", Number)
  .option("--memory <MiB>", "recallMemory", Number, 256)
  .option("--threads <n>", "threads", Number, 1)
  .option("--browser", "also in Chromium, to which snapshot and log are moved")
  .option("--folder <dir>", "where the log and snapshots are kept for another run (default: a temporary folder)")
  .action(recall);
program
  .command("report")
  .description("all that docs/PERFORMANCE.md lists, on this machine, in 10 to 15 minutes")
  .option("--quick", "a smoke test of a minute or two, without other engines")
  .option("--out <file>", "page of which this machine's section is written", "docs/PERFORMANCE.md")
  .action(reportMachine);
program
  .command("story")
  .description("NLL and distinct 4-grams of stories of 4,096 tokens, scored by the model in windows of 512")
  .option("--model <dir>", "checkpoint", EMBEDDED)
  .option("--seeds <n>", "stories per policy", Number, 8)
  .addOption(new Option("--policies <names...>", "attention policies").choices(POLICIES).default(["lambda", "full"]))
  .action((flags: { model: string; seeds: number; policies: PolicyName[] }) => story(flags));
await program.parseAsync();

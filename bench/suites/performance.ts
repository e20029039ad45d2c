import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Found, type Line, number, rowsOf } from "../found.ts";
import { machineFacts } from "../machine.ts";
import { run, temporaryFolder } from "../peers/child.ts";
import { forward } from "../peers/index.ts";
import { kernelParts, otherParts, type Part, peerParts } from "../performance.ts";
import { writeCheckpoint } from "../synthetic.ts";
import { RUNTIMES } from "./runtimes.ts";

export interface PerformanceFlags {
  readonly out: string;
  readonly quick?: boolean;
}

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const SHAPE = "tinyllama-1.1b";
const DTYPES = "f32,bf16,f16,q8,q7,q4,q8_0,q6_k,q5_0,q4_k";
const TIMEOUT_MS = 900_000;
const INTRODUCTION = `# Performance

\`bun run bench report\` measures all of this on the machine that it runs on, in 10 to 15 minutes, and writes a section of this page; sections of other machines stay. With \`LAMBENT_MODELS\` naming a folder that has gemma-3-270m-q4_k_m.gguf, that model is measured too. Figures are medians; those with ÷ are ratios in one run, above 1 where we are faster. How things are measured: [BENCH.md](BENCH.md).
`;

/** What is run, by the key of its results: in which runtime, and which suite with which flags. */
type Runs = readonly (readonly [key: string, runtime: "bun" | "node", ...args: string[]])[];

function runsOf(tinyLlama: string, quick: boolean): Runs {
  const model = ["--model", tinyLlama];
  const kernels = ["kernels", "--shapes", "5632x2048", "--dtypes", quick ? "q8,q4" : DTYPES];
  const both = (["bun", "node"] as const).flatMap(
    (runtime): Runs => [
      [`kernels-${runtime}`, runtime, ...kernels],
      [`batch-${runtime}`, runtime, "batch", "--models", tinyLlama, "--dtypes", "q4", "--sessions", "1,2,3,4,8,16,32"],
      [`prompts-${runtime}`, runtime, "prompts", ...model, "--dtype", "q4"],
      [`step-${runtime}`, runtime, "step"],
      [`step-tinyllama-${runtime}`, runtime, "step", ...model, "--dtype", "q4", "--position", "144"],
      [`choose-${runtime}`, runtime, "choose", "--sizes", "262144"],
    ],
  );
  const ours: Runs = [
    ...both,
    ["step-attention", "bun", "step", ...model, "--dtype", "q4", "--position", "2047", "--threads", "1"],
    ["busy", "bun", "busy", ...model, "--dtype", "q4"],
    ["startup", "bun", "startup"],
  ];
  const peers: Runs = [["peers", "bun", "peers", ...model, "--only", "native,ort", "--threads", "2"]];
  const real: Runs = [["gemma", "bun", "gemma", "--rounds", "1", "--only", "bun,native,wllama"]];
  if (quick) return ours;
  return [...ours, ...peers, ...(process.env.LAMBENT_MODELS ? real : [])];
}

/** Everything that docs/PERFORMANCE.md lists, on this machine. */
export async function reportMachine(flags: PerformanceFlags): Promise<void> {
  const { quick = false, out } = flags;
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const tinyLlama = join(folder, SHAPE);
  writeCheckpoint(SHAPE, tinyLlama, quick ? { layers: 1 } : {});
  const all: Record<string, Found> = {};
  const problems: string[] = [];
  const runs = runsOf(tinyLlama, quick);
  for (const [i, [key, runtime, ...args]] of runs.entries()) {
    console.log(
      `${i + 1} of ${runs.length}: ${args.map((arg) => arg.replace(`${folder}/`, "")).join(" ")} in ${runtime}`,
    );
    const results = join(folder, key);
    const words = [
      ...(RUNTIMES[runtime] as string[]),
      MAIN,
      ...args,
      "--results",
      results,
      ...(quick ? ["--quick"] : []),
    ];
    try {
      await run(words, folder, TIMEOUT_MS);
      all[key] = JSON.parse(readFileSync(join(results, `${resultName(args, tinyLlama)}.json`), "utf8"));
    } catch (error) {
      problems.push(`${args[0]} in ${runtime}: ${(error as Error).message}`);
    }
  }
  if (!quick) all.forward = await besideC(all);
  const parts = [...kernelParts(all), ...peerParts(all), ...otherParts(all)].filter(({ lines }) => lines.length > 0);
  await writePage(out, sectionOf(all, parts, problems));
  for (const problem of problems) console.error(problem);
  console.log(`written to ${out}`);
}

/** A suite's file is named after it and, if it has one, its model. */
function resultName(args: readonly string[], tinyLlama: string): string {
  return args[1] === "--model" && args[2] === tinyLlama && args[0] !== "peers" ? `${args[0]}-${SHAPE}` : `${args[0]}`;
}

/** The embedded model in f32 beside the same in C, of which `step` has measured ours. */
async function besideC(all: Readonly<Record<string, Found>>): Promise<Found> {
  const ours = (run: string, threads: number) =>
    number(
      rowsOf(all[run]).find((row) => row.part === "a token" && row.threads === threads),
      "us",
    );
  const results = await forward([1, 2]);
  const of = results.map(({ threads, millisecondsPerToken: ms }) => {
    const ratio = (us: number | undefined) => ms && us && (1000 * ms) / us;
    return { threads, bun: ratio(ours("step-bun", threads)), node: ratio(ours("step-node", threads)) };
  });
  return { command: "", versions: {}, machine: {}, notes: [], tables: { forward: of } };
}

function sectionOf(all: Readonly<Record<string, Found>>, parts: readonly Part[], problems: readonly string[]): string {
  const { cpu, cores, memoryGiB, lastLevelCache, system } = machineFacts();
  const loads = Object.values(all).flatMap(({ machine }) => [machine.loadBefore, machine.loadAfter]);
  const known = loads.filter((load): load is number => typeof load === "number");
  const versions = Object.assign({}, ...Object.values(all).map((found) => found.versions));
  const peers = [...(all.peers?.tables["tokens per second"] ?? [])].map(({ peer, version }) => `${peer} ${version}`);
  const facts = [
    `${new Date().toISOString().slice(0, 10)}; ${memoryGiB} GiB, last-level cache ${lastLevelCache}, ${system}`,
    [...Object.entries(versions).map((entry) => entry.join(" ")), ...new Set(peers)].join(", "),
    `load from ${Math.min(...known)} to ${Math.max(...known)}`,
  ];
  const tables = parts.map(({ title, columns, lines }) => {
    const head = ["", ...columns, "wanted", "bound by"];
    const rows = lines.map((line) => [
      line.what,
      ...line.found.map(shown),
      wantedOf(line),
      reached(line) ?? line.limit,
    ]);
    return `**${title}**\n\n${markdown([head, ...rows])}`;
  });
  const commands = Object.values(all).flatMap(({ command }) => (command ? [`- \`${command}\``] : []));
  const failed = problems.map((problem) => `- not measured: ${problem}`);
  return [
    `## ${cpu}, ${cores} cores`,
    `${facts.join("; ")}. ${summaryOf(parts)}`,
    ...tables,
    ["Commands:", "", ...new Set(commands), ...failed].join("\n"),
  ].join("\n\n");
}

/** A table as the linter has them: cells as wide as the widest of their column. */
function markdown(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] as readonly string[]).map((_, i) =>
    Math.max(...rows.map((row) => (row[i] as string).length), 3),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ")} |`;
  const [head, ...rest] = rows.map(line);
  return [head, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rest].join("\n");
}

/** What is wanted of a line's columns. */
function wantedOf({ found, least = [], most }: Line): string {
  if (most !== undefined) return `at most ${most}`;
  const each = found.map((_, i) => (least[i] === undefined ? "–" : `${least[i]}`));
  return new Set(each).size === 1 ? (each[0] as string) : each.join(", ");
}

/** "reached" for a line whose every figure is; undefined: not so, or nothing is wanted. */
function reached({ found, least = [], most }: Line): string | undefined {
  const bars = found.map((_, i) => (most === undefined ? least[i] : most));
  if (bars.every((bar) => bar === undefined)) return undefined;
  const good = found.every((value, i) => {
    const bar = bars[i];
    if (bar === undefined) return true;
    return value !== undefined && (most === undefined ? value >= bar : value <= bar);
  });
  return good ? "reached" : undefined;
}

function summaryOf(parts: readonly Part[]): string {
  const lines = parts.flatMap(({ lines }) => lines).filter((line) => wantedOf(line) !== "–");
  const good = lines.filter((line) => reached(line) !== undefined);
  return `${good.length} of ${lines.length} rows are where they are wanted; the others say what they are bound by.`;
}

function shown(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(value < 0.1 ? 2 : 3);
}

/** Puts a section first, in place of one of the same machine. */
async function writePage(path: string, section: string): Promise<void> {
  const heading = section.slice(0, section.indexOf("\n"));
  const old = await Bun.file(path)
    .text()
    .catch(() => "");
  const others = old.split(/^(?=## )/m).filter((part) => part.startsWith("## ") && !part.startsWith(`${heading}\n`));
  writeFileSync(
    path,
    [INTRODUCTION, `${section}\n`, ...others]
      .map((part) => part.trimEnd())
      .join("\n\n")
      .concat("\n"),
  );
}

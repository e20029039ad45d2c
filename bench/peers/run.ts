import { arch, cpus, platform } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { each, type ForwardResult, forward, PEERS, type Peer, type PeerResult, SHAPES, type Shape } from "./index.ts";

const FORWARD = "forward";
const NAMES = [...Object.keys(PEERS), FORWARD];

interface Flags {
  readonly only: readonly string[];
  readonly threads: readonly number[];
  readonly shape: Shape;
  readonly layers?: number;
}

function names(text: string): string[] {
  const given = text.split(",");
  const wrong = given.find((name) => !NAMES.includes(name));
  if (wrong === undefined) return given;
  throw new InvalidArgumentError(`Allowed choices are ${NAMES.join(", ")}.`);
}

function counts(text: string): number[] {
  if (/^[1-9]\d*(,[1-9]\d*)*$/.test(text)) return text.split(",").map(Number);
  throw new InvalidArgumentError("Expected positive whole numbers with commas between them.");
}

function count(text: string): number {
  const [first, ...others] = counts(text);
  if (first !== undefined && others.length === 0) return first;
  throw new InvalidArgumentError("Expected one positive whole number.");
}

const COLUMNS = [
  ["peer", 23],
  ["version", 8],
  ["format", 19],
  ["threads", 8],
  ["decode, tok/s", 14],
  ["prefill, tok/s", 15],
  ["others, cores", 14],
  ["", 0],
] as const;

function print(cells: readonly string[]): void {
  const padded = COLUMNS.map(([, width], i) => (cells[i] ?? "").padEnd(width));
  console.log(padded.join(" ").trimEnd());
}

function printPeer(result: PeerResult): void {
  const number = (value: number | undefined) => value?.toPrecision(3) ?? "-";
  print([
    ...[result.peer, result.version, result.format, `${result.threads}`],
    ...[result.decodeTokensPerSecond, result.prefillTokensPerSecond].map(number),
    result.busyCores.toFixed(1),
    result.error ? `error: ${result.error}` : (result.note ?? ""),
  ]);
}

function printForward({ compiler, threads, millisecondsPerToken, equalsReference, error }: ForwardResult): void {
  const said = error
    ? `error: ${error}`
    : `${millisecondsPerToken} ms per token, ids ${equalsReference ? "equal" : "DIFFER FROM"} the reference`;
  console.log(`forward.c, ${compiler}, ${threads} thread(s): ${said}`);
}

// An end by a signal is an end all the same: children and files go with it.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

await new Command("peers")
  .description("measure other ways of running a model of a published shape, with random weights")
  .option("--only <names>", NAMES.join(", "), names, NAMES)
  .option("--threads <list>", "numbers of threads", counts, [1, 2])
  .addOption(new Option("--shape <shape>", "of the model").choices(Object.keys(SHAPES)).default("tinyllama-1.1b"))
  .option("--layers <n>", "fewer layers than the shape has", count)
  .action(async ({ only, threads, shape, layers }: Flags) => {
    const of = layers === undefined ? shape : `${layers} layers of ${shape}`;
    console.log(`${platform()} ${arch()}, ${cpus()[0]?.model}, ${cpus().length} cores; ${of}, random weights`);
    const results: PeerResult[] = [];
    const others = only.filter((name) => name !== FORWARD) as Peer[];
    if (others.length > 0) print(COLUMNS.map(([title]) => title));
    for await (const result of each({ shape, layers, threads }, others)) {
      printPeer(result);
      results.push(result);
    }
    const program = only.includes(FORWARD) ? await forward(threads) : [];
    for (const result of program) printForward(result);
    console.log(JSON.stringify({ shape, layers, peers: results, forward: program }));
  })
  .parseAsync();

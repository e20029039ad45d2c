/** The results of a run, as lines for the terminal and as docs/PLATFORMS.md. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { machineFacts } from "../../bench/machine.ts";
import manifest from "../../package.json" with { type: "json" };
import { ROOT } from "../setup.ts";
import type { Outcome, Visit } from "./conformance.ts";
import type { Journey } from "./journeys.ts";
import type { Speed } from "./speed_table.ts";

const PAGE = join(ROOT, "docs/PLATFORMS.md");
const SPEED = "## Speed";

/** A visit on one line. */
export function showVisit({ title, outcomes, seconds, engine }: Visit): string {
  const { pass, fail, absent } = countOf(outcomes);
  const runs = engine ? `${engine.kernels}, threads: ${engine.threads}` : "did not finish";
  return `${title}: ${pass} pass, ${fail} fail, ${absent} not there (${runs}) [${seconds.toFixed(1)} s]`;
}

/** docs/PLATFORMS.md but for its speed table, which stays. */
export function writePage(visits: readonly Visit[], travelled: readonly Journey[]): void {
  const { cpu, cores, system } = machineFacts();
  const parts = [
    "# Platforms",
    `Written by \`npm run platforms\`: lambent ${manifest.version}, packed by \`npm pack\` and installed from the tarball, on ${cpu} (${cores} cores, ${system}). It installs the runtimes (\`test/platforms/package.json\`) except Chromium, which must be present (\`CHROMIUM\`, or the PATH), and runs one program in all of them: bundled by esbuild for browsers and workerd, as it is for the others. Models come from one local server by ranges. \`--quick\` is what CI runs, \`--places bun,workerd\` selects some, \`--speed\` measures. Only Linux on x64 was tested, and neither Firefox nor Safari.`,
    "## Where it runs",
    places(visits),
    visits.map(({ title, engine }) => `- ${title}: ${engine?.reasons.join("; ")}`).join("\n"),
    "## Cases",
    "Passed, by theme; in parentheses what does not apply: no directories in browsers and on the edge, no threads where memory cannot be shared.",
    themes(visits),
    "## The same bits",
    `${runsOf(visits)} values were compared between places, between builds with plain and with relaxed SIMD, and between one thread and two: logits of tiny models, texts, snapshots, messages of errors. No two differ. The texts, with the prompt of \`program/suite/bits.ts\`, seed 7, temperature 0.8, 48 tokens:`,
    texts(visits),
    "## Stories that travel",
    "Started in the first place and continued in the others from snapshots alone, cut at random; `nLocal` is 64, so that the ring of the cache wraps around. Each has the tokens, the text and finally the snapshot, byte for byte, of the story that the first place writes without interruption.",
    journeys(travelled),
    ...story(travelled),
  ];
  writeFileSync(PAGE, `${parts.join("\n\n")}\n\n${oldParts()[1]}`);
}

/** The speed table of docs/PLATFORMS.md. */
export function writeSpeed(speeds: readonly Speed[]): void {
  writeFileSync(PAGE, `${oldParts()[0]}${speedTable(speeds)}\n`);
}

/** The page as it is: what is before the speed table, and the table. */
function oldParts(): readonly [string, string] {
  const page = existsSync(PAGE) ? readFileSync(PAGE, "utf8") : "";
  const at = page.indexOf(SPEED);
  return at < 0 ? [page, ""] : [page.slice(0, at), page.slice(at)];
}

function places(visits: readonly Visit[]): string {
  return table(
    ["place", "kernels", "threads of 2", "engine in a worker", "pass", "fail", "not there"],
    visits.map(({ title, outcomes, engine }) => {
      const { pass, fail, absent } = countOf(outcomes);
      const worker = engine?.worker ? "yes" : "if asked for";
      const ours = [title, engine?.kernels, engine?.threads, title.startsWith("workerd") ? "no" : worker];
      return [...ours, pass, fail, absent];
    }),
  );
}

function themes(visits: readonly Visit[]): string {
  const themeOf = ({ name }: Outcome) => name.slice(0, name.indexOf(":"));
  const names = [...new Set(visits.flatMap(({ outcomes }) => outcomes.map(themeOf)))];
  const cell = ({ outcomes }: Visit, theme: string) => {
    const { pass, absent } = countOf(outcomes.filter((outcome) => themeOf(outcome) === theme));
    return absent ? `${pass} (${absent})` : pass;
  };
  return table(
    ["theme", ...visits.map(({ title }) => title)],
    names.map((theme) => [theme, ...visits.map((visit) => cell(visit, theme))]),
  );
}

function runsOf(visits: readonly Visit[]): number {
  return visits.flatMap(({ outcomes }) => outcomes).filter(({ value }) => value !== undefined && value !== null).length;
}

/** A row for each text that all of its runs have in common. */
function texts(visits: readonly Visit[]): string {
  const there = visits.flatMap(({ outcomes }) => outcomes).filter(({ absent }) => absent === undefined);
  const written = there.filter(({ same }) => /^(bits|cache):/.test(same));
  const runs = Map.groupBy(written, ({ same }) => same);
  return table(
    ["model, weights", "runs", "places", "text", "logitsHash"],
    [...runs].map(([same, outcomes]) => {
      const { text, logitsHash } = outcomes[0]!.value as { text: string; logitsHash: string };
      const begin = `${text.replace(/\s+/g, " ").trim().slice(0, 60)}…`.replaceAll("|", "\\|");
      const where = new Set(outcomes.map(({ place }) => place)).size;
      return [same.replace("bits: ", ""), outcomes.length, where, begin, `\`${logitsHash}\``];
    }),
  );
}

function journeys(travelled: readonly Journey[]): string {
  const routes = Map.groupBy(travelled, ({ route }) => route.join(" → "));
  return [...routes]
    .map(([route, stories]) => {
      const row = ({ seed, cuts, snapshotBytes, wrong }: Journey) => {
        return [seed, cuts.join(" → "), snapshotBytes.toLocaleString("en"), wrong ?? "yes"];
      };
      return `${route}:\n\n${table(["seed", "new tokens", "snapshot, bytes", "as unbroken"], stories.map(row))}`;
    })
    .join("\n\n");
}

/** The first story, with a line for each place. */
function story([first]: readonly Journey[]): string[] {
  if (!first) return [];
  const lines = first.texts.map((text, i) => `> ${first.route[i]}: ${text.replace(/\s+/g, " ")}`);
  return [`The first of them, place by place:`, lines.join("\n>\n")];
}

function speedTable(speeds: readonly Speed[]): string {
  const { cpu, cores, lastLevelCache, memoryGiB, system } = machineFacts();
  const parts = [
    SPEED,
    `Written by \`npm run platforms -- --speed\` on ${cpu} (${cores} cores, ${lastLevelCache} of last-level cache, ${memoryGiB} GiB, ${system}; other programs kept ${speeds[0]?.busyCores.toFixed(1)} cores busy at the start): the embedded model lambent-llama-5m, medians of ${speeds[0]?.rounds} interleaved rounds, and in parentheses the median over the rounds of the ratio to Bun (tokens per second: higher is faster; seconds: lower). Start: from the start of the process, the page or the request to the first token, with the weights fetched from the local server; the browser and workerd themselves are running already. Times are measured from outside, because workerd has no clock, and include one request to the server each.`,
  ];
  for (const dtype of new Set(speeds.map((one) => one.dtype))) {
    for (const threads of new Set(speeds.map((one) => one.threads))) {
      const rows = speeds.filter((one) => one.dtype === dtype && one.threads === threads);
      parts.push(
        table(
          [
            `${dtype}, ${threads === 1 ? "one thread" : "two threads"}`,
            "decode, tokens/s",
            "prefill, tokens/s",
            "start, s",
          ],
          rows.map(({ title, decode, prefill, start }) => [
            ...[title, `${decode.median.toFixed(0)} (${decode.ratio.toFixed(2)})`],
            ...[`${prefill.median.toFixed(0)} (${prefill.ratio.toFixed(2)})`],
            `${start.median.toFixed(2)} (${start.ratio.toFixed(2)})`,
          ]),
        ),
      );
    }
  }
  return parts.join("\n\n");
}

function countOf(outcomes: readonly Outcome[]) {
  const fail = outcomes.filter(({ wrong }) => wrong !== undefined).length;
  const absent = outcomes.filter((outcome) => outcome.absent !== undefined).length;
  return { fail, absent, pass: outcomes.length - fail - absent };
}

function table(head: readonly unknown[], rows: readonly (readonly unknown[])[]): string {
  const line = (cells: readonly unknown[]) => `| ${cells.join(" | ")} |`;
  return [head, head.map(() => "---"), ...rows].map(line).join("\n");
}

import { type Curves, type Grid, spreadOf, uniform } from "../../eval/diagnose.ts";
import type { LayerFindings } from "../../eval/findings.ts";
import type { Remoteness } from "../../eval/hidden.ts";
import type { FoundKeys } from "../../eval/keys.ts";
import type { Pca } from "../../eval/pca.ts";
import type { Policy } from "../../model/cache.ts";
import { curvesSvg, type Dot, hiddenSvg, type Labels, type Point } from "./diagnose_plots.ts";
import { csv } from "./results.ts";

/** What was found under one policy. */
export interface PolicyFindings {
  readonly policy: Policy;
  readonly curves: Curves;
  readonly layers: readonly LayerFindings[];
}

/** What was found of the hidden states after one layer. */
export interface LayerStates {
  readonly layer: number;
  /** Of each row: texts one after the other. */
  readonly positions: readonly number[];
  readonly pca: Pca;
  readonly remoteness: Remoteness;
}

/** A row of cells, the first one to the left. */
function row([first, ...others]: readonly string[], width = 11): string {
  return `${(first as string).padEnd(8)}${others.map((cell) => cell.padStart(width)).join("")}\n`;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** A table of one policy's numbers by layer. */
export function policyTable({ policy, layers }: PolicyFindings, trained: number, length: number): string {
  const until = [`to ${Math.min(trained, length)}`, `to ${length}`];
  const lines = layers.map(({ layer, bound, entropy, sinks }) =>
    row([
      `${layer}`,
      ...[bound.trained, bound.end, entropy.trained, entropy.end].map(({ mean }) => mean.toFixed(2)),
      ...[sinks.trained.mean, sinks.end.mean, sinks.trained.largest, sinks.end.largest].map(percent),
    ]),
  );
  const titles = ["", "largest logit", "entropy, nats", "first keys' share", "its largest head"];
  return [
    `\n${policy.attention} attention\n`,
    row(titles, 22),
    row(["layer", ...until, ...until, ...until, ...until]),
    ...lines,
  ].join("");
}

/** A table of how far first tokens lie from the others. */
export function hiddenTable(states: readonly LayerStates[]): string {
  const lines = states.map(({ layer, remoteness, pca }) => {
    const { byPosition, first, withoutBos, chance } = remoteness;
    const distances = [byPosition[0] as number, withoutBos, first, chance].map((distance) => distance.toFixed(2));
    return row([`${layer}`, ...distances, percent(pca.explained[0] + pca.explained[1])], 14);
  });
  return [
    "\nhidden states: distance of first positions' centroids from the others', in units of their spread\n",
    row(["layer", "position 0", "1 to 9", "0 to 9", "by chance", "2 components"], 14),
    ...lines,
  ].join("");
}

export function keysLine(keys: FoundKeys, { nGlobal, nLocal, limit }: Policy): string {
  const found = `${keys.attended} keys (${nGlobal} + ${nLocal})${keys.wrong ? `, ${keys.wrong} of them wrong` : ""}`;
  const pinned = `pinned ones as at distance ${limit} to ${keys.pinnedDifference.toExponential(1)}`;
  const local = `local ones as at their own to ${keys.localDifference.toExponential(1)}`;
  return `\nΛ, measured: query ${keys.position} meets ${found}; logits of the ${pinned}, of the ${local} (of the largest)\n`;
}

/** One line: which of the paper's factors show, and whether Λ does what it says. */
export function verdictOf(
  findings: readonly PolicyFindings[],
  states: readonly LayerStates[],
  keys: FoundKeys,
  sinks: number,
): string {
  const parts = findings.map(({ policy, curves, layers }) => {
    const { bound, entropy, sinks: share } = layers.at(-1) as LayerFindings;
    const strange = curves.notFinite ? `, ${curves.notFinite} numbers that are not finite` : "";
    return (
      `${policy.attention}: largest logit ${change(bound)}, entropy ${change(entropy)} nats, ` +
      `first ${sinks} keys ${percent(share.end.mean)} of attention (largest head ${percent(share.end.largest)})${strange}`
    );
  });
  const [farthest] = [...states].sort((a, b) => b.remoteness.first - a.remoteness.first);
  const far = farthest ? `; first tokens ${farthest.remoteness.first.toFixed(1)} spreads away after layer ${farthest.layer}` : "";
  const holds = keys.holds ? "Λ meets the keys and distances of Fig 2" : "Λ does NOT meet the keys and distances of Fig 2";
  return `verdict: ${parts.join("; ")}${far}; ${holds}`;
}

const change = ({ trained, end }: LayerFindings["bound"]) => `${trained.mean.toFixed(2)} → ${end.mean.toFixed(2)}`;

/** By head: CSV, and points of the means over a layer's heads and all heads. */
interface Figure {
  readonly csv: string;
  readonly points: readonly Point[];
}

interface Part {
  readonly column: string;
  readonly of: (curves: Curves, layer: number, head: number) => Float32Array;
  readonly x: (grid: Grid) => readonly number[];
  readonly reference?: (policy: Policy, grid: Grid) => readonly number[];
  /** The band: ± 1 standard deviation, or up to the largest head. */
  readonly largest?: boolean;
}

const middles = ({ edges }: Grid) => edges.slice(1).map((end, i) => (end - 1 + (edges[i] as number)) / 2);

function figure(findings: readonly PolicyFindings[], { column, of, x, reference, largest }: Part): Figure {
  const rows: Record<string, string | number | undefined>[] = [];
  const points: Point[] = [];
  for (const { policy, curves } of findings) {
    const compared = reference?.(policy, curves.grid);
    const common = { policy: policy.attention };
    const all: Float32Array[] = [];
    const add = (layer: number | "all", heads: readonly Float32Array[]) => {
      for (const [i, at] of x(curves.grid).entries()) {
        const values = heads.map((head) => head[i] as number);
        const { mean, std } = spreadOf(values);
        const band = largest ? { low: mean, high: Math.max(...values) } : { low: mean - std, high: mean + std };
        points.push({ ...common, layer, x: at, mean, ...band, ...(compared && { reference: compared[i] as number }) });
      }
    };
    for (let layer = 0; layer < curves.layers; layer++) {
      const heads = Array.from({ length: curves.heads }, (_, head) => of(curves, layer, head));
      for (const [head, values] of heads.entries()) {
        for (const [i, at] of x(curves.grid).entries()) {
          rows.push({ ...common, layer, head, [column]: values[i], ...place(column, at), reference: compared?.[i] });
        }
      }
      add(layer, heads);
      all.push(...heads);
    }
    add("all", all);
  }
  return { csv: csv(rows), points };
}

const place = (column: string, at: number) => (column === "bound" ? { distance: at } : { position: at });

/** The figures of the curves: files by name. */
export async function curveFiles(
  findings: readonly PolicyFindings[],
  sinks: number,
  model: string,
  common: Pick<Labels, "command" | "trainedLength">,
): Promise<Record<string, string>> {
  const position = "position of the query (tokens)";
  const logits = figure(findings, {
    column: "bound",
    of: (curves, layer, head) => curves.bound(layer, head),
    x: ({ distances }) => distances,
  });
  const entropy = figure(findings, {
    column: "entropy",
    of: (curves, layer, head) => curves.entropy(layer, head),
    x: middles,
    reference: (policy, grid) => uniform(policy, grid, sinks).entropy,
  });
  const shares = figure(findings, {
    column: "share",
    of: (curves, layer, head) => curves.sinks(layer, head),
    x: middles,
    reference: (policy, grid) => uniform(policy, grid, sinks).sinks,
    largest: true,
  });
  const distance = "distance from the last query (tokens)";
  return {
    "logits.csv": logits.csv,
    "entropy.csv": entropy.csv,
    "sinks.csv": shares.csv,
    "logits.svg": await curvesSvg(logits.points, {
      ...{ ...common, title: `Bound of the attention logits of ${model}`, x: distance, y: "largest logit so far" },
    }),
    "entropy.svg": await curvesSvg(entropy.points, {
      ...{ ...common, title: `Attention entropy of ${model}`, x: position, y: "entropy (nats)" },
      reference: "ln of the keys that are met",
    }),
    "sinks.svg": await curvesSvg(shares.points, {
      ...{ ...common, title: `Attention of ${model} to the first ${sinks} keys`, x: position, y: "share of attention" },
      reference: "all keys alike",
      percent: true,
    }),
  };
}

/** Points per layer in the plot, at most. */
const DOTS = 400;

/** The figure of the hidden states: files by name. */
export async function hiddenFiles(
  states: readonly LayerStates[],
  model: string,
  policy: string,
  command: string,
): Promise<Record<string, string>> {
  const dots = states.flatMap(({ layer, positions, pca }) =>
    positions.map((position, i): Dot => {
      return { layer, position, first: pca.scores[2 * i] as number, second: pca.scores[2 * i + 1] as number };
    }),
  );
  const rare = Math.ceil(dots.length / states.length / DOTS);
  const drawn = dots.filter(({ position }, i) => position < 10 || i % rare === 0);
  const title = `Hidden states of ${model} under ${policy} attention`;
  return {
    "hidden.csv": csv(dots.map(({ layer, position, first, second }) => ({ layer, position, first, second }))),
    "hidden.svg": await hiddenSvg(drawn, { title, command }),
  };
}

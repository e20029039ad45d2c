import type { Policy } from "../../src/plan/policy.ts";
import { type Curves, type Grid, type Spread, spreadOf, uniform } from "../eval/diagnose.ts";
import { type Change, type HeadFindings, type LayerFindings, layersName } from "../eval/findings.ts";
import { FIRST, type Remoteness } from "../eval/hidden.ts";
import type { FoundKeys } from "../eval/keys.ts";
import type { Pca } from "../eval/pca.ts";
import { curvesSvg, type Dot, hiddenSvg, type Labels, type Point } from "./diagnose_plots.ts";
import { csv } from "./results.ts";
import { table } from "./table.ts";

/** What was found under one policy. */
export interface PolicyFindings {
  readonly policy: Policy;
  /** Of every layer: in a model that mixes windowed and global layers, the windowed ones have their own. */
  readonly layerPolicies: readonly Policy[];
  /** The layers that follow the policy, whose means are of the paper's claims. */
  readonly followers: readonly number[];
  readonly curves: Curves;
  readonly layers: readonly LayerFindings[];
  /** If every key that is met had the same weight. */
  readonly alike: Pick<HeadFindings, "entropy" | "sinks">;
}

/** What was found of the hidden states after one layer. */
export interface LayerStates {
  readonly layer: number;
  readonly texts: number;
  /** Of each row: texts one after the other. */
  readonly positions: readonly number[];
  readonly pca: Pca;
  readonly remoteness: Remoteness;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** One policy's numbers by layer: means over heads within the trained length, and at the texts' end. */
export function policyTable({ policy, layers, alike }: PolicyFindings, trainedLength: number, sinks: number): string {
  const rows = layers.map(({ layer, bound, entropy, sinks: share }) => ({
    layer: `${layer}`,
    "largest logit": arrow(means(bound)),
    "entropy (nats)": arrow(means(entropy)),
    [`first ${sinks} keys`]: arrow(means(share), percent),
    "largest head": `${percent(share.trained.largest)} → ${percent(share.end.largest)}`,
  }));
  const other = {
    layer: "if alike",
    ...{ "largest logit": "", "entropy (nats)": arrow(alike.entropy) },
    [`first ${sinks} keys`]: arrow(alike.sinks, percent),
    "largest head": "",
  };
  return `\n${policy.attention} attention (within ${trainedLength} tokens → at the end)\n${table([...rows, other])}`;
}

const means = ({ trained, end }: Change<Spread>) => ({ trained: trained.mean, end: end.mean });

function arrow({ trained, end }: Change<number>, show = (value: number) => value.toFixed(2)): string {
  return `${show(trained)} → ${show(end)}`;
}

/** How far first tokens lie from the others, by layer. */
export function hiddenTable(states: readonly LayerStates[]): string {
  const rows = states.map(({ layer, remoteness: { byPosition, first, withoutBos, chance }, pca: { explained } }) => ({
    layer,
    "position 0": byPosition[0] as number,
    "0 to 9": first,
    "1 to 9": withoutBos,
    "by chance": chance,
    "variance of 2 components": percent(explained[0] + explained[1]),
  }));
  return `\nhidden states: distance of first positions' centroids from the others', in units of their spread\n${table(rows)}`;
}

/** `policy`: the first layer's. */
export function keysLine(keys: FoundKeys, { nGlobal, nLocal, limit }: Policy): string {
  const found = `${keys.attended} keys (${nGlobal} + ${nLocal})${keys.wrong ? `, ${keys.wrong} of them wrong` : ""}`;
  const pinned = nGlobal
    ? `pinned ones as at distance ${limit} to ${keys.pinnedDifference.toExponential(1)}, of the `
    : "";
  const local = `local ones as at their own to ${keys.localDifference.toExponential(1)}`;
  return `\nΛ in the first layer, measured: query ${keys.position} meets ${found}; logits of the ${pinned}${local} (of the largest)\n`;
}

/** One line: which of the paper's factors show, and whether Λ does what it says. */
export function verdictOf(
  findings: readonly PolicyFindings[],
  states: readonly LayerStates[],
  keys: FoundKeys,
  sinks: number,
): string {
  const parts = findings.map(({ policy, curves, layers, alike }) => {
    const { bound, entropy, sinks: share } = layers.at(-1) as LayerFindings;
    const strange = curves.notFinite ? `, ${curves.notFinite} numbers that are not finite` : "";
    return (
      `${policy.attention}: largest logit ${arrow(means(bound))}, entropy ${arrow(means(entropy))} nats ` +
      `(ln of the keys ${arrow(alike.entropy)}), first ${sinks} keys at most ` +
      `${percent(share.trained.largest)} → ${percent(share.end.largest)} of a head's attention ` +
      `(alike ${arrow(alike.sinks, percent)})${strange}`
    );
  });
  const [farthest] = [...states].sort((a, b) => b.remoteness.first - a.remoteness.first);
  const far = farthest
    ? `; first tokens ${farthest.remoteness.first.toFixed(1)} spreads away after layer ${farthest.layer}`
    : "";
  const holds = keys.holds
    ? "Λ meets the keys and distances of Fig 2"
    : "Λ does NOT meet the keys and distances of Fig 2";
  return `verdict: ${parts.join("; ")}${far}; ${holds}`;
}

/** By head: CSV, and points of the means over a layer's heads and all heads. */
interface Figure {
  readonly csv: string;
  readonly points: readonly Point[];
}

interface Part {
  readonly column: string;
  /** What x and the reference are called in the CSV. */
  readonly place: string;
  readonly compared?: string;
  readonly of: (curves: Curves, layer: number, head: number) => Float32Array;
  readonly x: (grid: Grid) => readonly number[];
  readonly reference?: (policies: readonly Policy[], grid: Grid) => readonly number[];
  /** The band: ± 1 standard deviation, or up to the largest head. */
  readonly largest?: boolean;
}

const middles = ({ edges }: Grid) => edges.slice(1).map((end, i) => (end - 1 + (edges[i] as number)) / 2);

function figure(
  findings: readonly PolicyFindings[],
  { column, place, compared: name, of, x, reference, largest }: Part,
): Figure {
  const rows: Record<string, string | number | undefined>[] = [];
  const points: Point[] = [];
  for (const { policy, layerPolicies, followers, curves } of findings) {
    const common = { policy: policy.attention };
    const together: Float32Array[] = [];
    const add = (layer: Point["layer"], heads: readonly Float32Array[], compared?: readonly number[]) => {
      for (const [i, at] of x(curves.grid).entries()) {
        const values = heads.map((head) => head[i] as number);
        const { mean, std } = spreadOf(values);
        const band = largest ? { low: mean, high: Math.max(...values) } : { low: mean - std, high: mean + std };
        points.push({ ...common, layer, x: at, mean, ...band, ...(compared && { reference: compared[i] as number }) });
      }
    };
    for (let layer = 0; layer < curves.layers; layer++) {
      const heads = Array.from({ length: curves.heads }, (_, head) => of(curves, layer, head));
      const compared = reference?.([layerPolicies[layer] as Policy], curves.grid);
      for (const [head, values] of heads.entries()) {
        for (const [i, at] of x(curves.grid).entries()) {
          const other = name === undefined ? {} : { [name]: compared?.[i] };
          rows.push({ ...common, layer, head, [place]: at, [column]: values[i], ...other });
        }
      }
      add(layer, heads, compared);
      if (followers.includes(layer)) together.push(...heads);
    }
    const following = followers.map((layer) => layerPolicies[layer] as Policy);
    add(layersName(followers, curves.layers), together, reference?.(following, curves.grid));
  }
  return { csv: csv(rows), points };
}

/** The figures of the curves: files by name. */
export async function curveFiles(
  findings: readonly PolicyFindings[],
  sinks: number,
  model: string,
  common: Pick<Labels, "command" | "trainedLength">,
): Promise<Record<string, string>> {
  const position = "query's position (tokens)";
  const logits = figure(findings, {
    ...{ column: "bound", place: "distance" },
    of: (curves, layer, head) => curves.bound(layer, head),
    x: ({ distances }) => distances,
  });
  const entropy = figure(findings, {
    ...{ column: "entropy", place: "position", compared: "ln_keys" },
    of: (curves, layer, head) => curves.entropy(layer, head),
    x: middles,
    reference: (policies, grid) => uniform(policies, grid, sinks).entropy,
  });
  const shares = figure(findings, {
    ...{ column: "share", place: "position", compared: "uniform" },
    of: (curves, layer, head) => curves.sinks(layer, head),
    x: middles,
    reference: (policies, grid) => uniform(policies, grid, sinks).sinks,
    largest: true,
  });
  const distance = "key's distance (tokens)";
  return {
    "logits.csv": logits.csv,
    "entropy.csv": entropy.csv,
    "sinks.csv": shares.csv,
    "logits.svg": await curvesSvg(logits.points, {
      ...{ ...common, title: `Bound of the attention logits of ${model}`, x: distance, y: "largest logit so far" },
      own: true,
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
  const dots = states.flatMap(({ layer, positions, texts, pca: { scores } }) =>
    positions.map((position, i): Dot & { text: number } => {
      const text = Math.floor((i * texts) / positions.length);
      return { layer, text, position, first: scores[2 * i] as number, second: scores[2 * i + 1] as number };
    }),
  );
  const rare = Math.ceil(dots.length / states.length / DOTS);
  const drawn = dots.filter(({ position }, i) => position < FIRST || i % rare === 0);
  const title = `Hidden states of ${model} under ${policy} attention`;
  return {
    "hidden.csv": csv(dots.map((dot) => ({ ...dot }))),
    "hidden.svg": await hiddenSvg(drawn, { title, command }),
  };
}

/** What LM-Infinite's paper claims (arXiv 2308.16137), and what evaluations of a model found. */
import type { Ablation, AblationRow, ContinuationRow, Evaluations } from "./evaluations.ts";
import type { Interval } from "./statistics.ts";

/** One of the paper's claims, with what was found. */
export interface Claim {
  readonly model: string;
  /** Table or figure of the paper. */
  readonly where: string;
  readonly paper: string;
  readonly found: string;
  readonly agrees: boolean;
  /** Λ-attention itself is wrong if this one does not agree, whatever the model. */
  readonly essential: boolean;
  /** Why it does not agree, as far as that was measured. */
  readonly why?: string;
}

/** NLL this far above that of re-truncation, relative to it, counts as failing. */
const FAILS = 1.02;

/** Every claim about one model. */
export function claimsOf(found: Evaluations): Claim[] {
  return [
    ...keys(found),
    ...ends(found),
    ...ablations(found),
    ...factors(found),
    ...passkeys(found),
    ...continuations(found),
    ...streams(found),
  ].map((claim) => ({ model: found.model, essential: false, ...claim }));
}

type Found = Omit<Claim, "model" | "essential"> & { readonly essential?: boolean };

/** What a query attends to, if the first layer follows the policy: only its keys can be told from each other. */
function keys({ diagnose: { keys, policies } }: Evaluations): Found[] {
  if (policies.some(({ layers }) => layers.at(-1)?.layer === "global")) return [];
  return [
    {
      where: "Fig. 2",
      paper:
        "a far query attends to the first nGlobal tokens at the distance ceiling and to the last nLocal at their own distance",
      found: `${keys.attended} keys; pinned logits as at the ceiling to ${keys.pinnedDifference.toExponential(0)} of the largest`,
      agrees: keys.holds,
      essential: true,
    },
  ];
}

function ends(found: Evaluations): Found[] {
  const { end, vanilla, latex } = found;
  const claims: Found[] = [];
  for (const [result, text] of [
    [end, "novels"],
    [latex, "LaTeX"],
  ] as const) {
    const lambda = result?.ends.find(({ policy }) => policy === "lambda");
    const ratio = lambda?.overRetruncation;
    if (!result || !lambda || !ratio) continue;
    claims.push({
      where: `Fig. 3, Table 1 (${text})`,
      paper: "Λ stays fluent far beyond the trained length",
      found: `NLL at ${lambda.to} tokens ${nats(lambda.nll)}, ${over(ratio)} re-truncation`,
      agrees: ratio.value <= FAILS,
      essential: true,
    });
  }
  const full = (vanilla ?? end).ends.find(({ policy }) => policy === "full");
  const ratio = full?.overRetruncation;
  if (full && ratio) {
    const agrees = !(ratio.value <= FAILS);
    claims.push({
      where: "Fig. 3, Table 1",
      paper: "vanilla attention fails beyond the trained length",
      found: `NLL at ${full.to} tokens ${nats(full.nll)}, ${over(ratio)} re-truncation`,
      agrees,
      ...(agrees ? {} : { why: inRange(found) }),
    });
  }
  return claims;
}

/** What a policy's softmax sees beyond the trained length, compared with equal weights for all keys. */
function inRange({ diagnose: { policies } }: Pick<Evaluations, "diagnose">, name = "full"): string {
  const policy = policies.find(({ attention }) => attention === name);
  const all = policy?.layers.at(-1);
  if (!policy || !all) return "not diagnosed";
  const change = ({ trained, end }: { trained: { mean: number }; end: { mean: number } }) =>
    `${trained.mean.toFixed(2)} → ${end.mean.toFixed(2)}`;
  const { trained, end } = policy.alike.entropy;
  return `what the softmax sees changes little: entropy ${change(all.entropy)} nats (with equal weights ${trained.toFixed(2)} → ${end.toFixed(2)}), largest logit ${change(all.bound)}`;
}

/** Which part of Λ-attention is left out: relative to re-truncation, or where that was not done relative to Λ itself. */
function ablations({ ablation, curve, diagnose }: Evaluations): Found[] {
  const lambda = curve?.ends.find(({ policy }) => policy === "lambda");
  if (ablation) return ablationsOver("re-truncation", ablation, diagnose);
  if (!curve || !lambda) return [];
  const rows = curve.ends.map(({ policy: variant, nll }) => {
    const ratio = nll / lambda.nll;
    return { variant, nll, "over re-truncation": ratio, low: ratio, high: ratio };
  });
  return ablationsOver("Λ", { from: lambda.from, to: lambda.to, rows }, diagnose);
}

function ablationsOver(base: string, { rows, from, to }: Ablation, diagnose: Evaluations["diagnose"]): Found[] {
  const where = "Fig. 5";
  const row = (name: string) => rows.find(({ variant }) => variant === name);
  const share = diagnose.policies[0]?.layers.at(-1)?.sinks.trained;
  const alike = diagnose.policies[0]?.alike.sinks.trained;
  const sinks = `the first tokens get ${percent(share?.mean)} of attention (${percent(alike)} with equal weights, ${percent(share?.largest)} in the largest head): attention hardly relies on them, so little is lost without them`;
  const whys: Readonly<Record<string, string>> = {
    window: sinks,
    "lambda-only": `${sinks}, nor does their distance matter much`,
    "ceiling-only": inRange({ diagnose }, "ceiling-only"),
    full: inRange({ diagnose }),
  };
  const parts = ["full", "window", "lambda-only", "ceiling-only"].flatMap((name): Found[] => {
    const one = row(name);
    if (!one) return [];
    const agrees = !(one["over re-truncation"] <= FAILS);
    return [
      {
        where,
        paper: `${name === "full" ? "vanilla" : name} attention fails`,
        found: `NLL of positions ${from}–${to - 1} ${nats(one.nll)}, ${overRow(one)} ${base}`,
        agrees,
        ...(agrees ? {} : { why: whys[name] as string }),
      },
    ];
  });
  const lambda = row("lambda");
  const few = rows.filter(({ variant }) => /^nGlobal (10|100)$/.test(variant));
  const none = row("nGlobal 0");
  if (!lambda || !none || few.length === 0) return parts;
  const near = few.every(({ nll }) => Math.abs(nll / lambda.nll - 1) < 0.01);
  const worse = !(none.nll <= FAILS * lambda.nll);
  return [
    ...parts,
    {
      where: "n_starting table",
      paper: "1 to 100 first tokens do equally well, none fails (6.43 against 1.02)",
      found: rows
        .filter(({ variant }) => variant.startsWith("nGlobal"))
        .map(({ variant, nll }) => `${variant.slice(8)}: ${nats(nll)}`)
        .join(", "),
      agrees: near && worse,
      ...(near && worse ? {} : { why: near ? sinks : "not flat in nGlobal" }),
    },
  ];
}

function factors({ diagnose }: Evaluations): Found[] {
  const { policies, hidden } = diagnose;
  const all = (name: string) => policies.find(({ attention }) => attention === name)?.layers.at(-1);
  const full = all("full");
  const lambda = all("lambda");
  if (!full || !lambda) return [];
  const change = ({ trained, end }: { trained: { mean: number }; end: { mean: number } }) => end.mean - trained.mean;
  const show = ({ trained, end }: { trained: { mean: number }; end: { mean: number } }) =>
    `${trained.mean.toFixed(2)} → ${end.mean.toFixed(2)}`;
  const claim = (where: string, paper: string, key: "bound" | "entropy", unit: string): Found => {
    const agrees = change(full[key]) > Math.max(0.02 * full[key].trained.mean, 2 * change(lambda[key]));
    return {
      where,
      paper,
      found: `vanilla ${show(full[key])}${unit} from the trained length to the end, Λ ${show(lambda[key])}`,
      agrees,
      ...(agrees ? {} : { why: inRange({ diagnose }) }),
    };
  };
  const far = Math.max(...hidden.map(({ byPosition, chance }) => (byPosition[0] as number) / chance));
  return [
    claim("Fig. 1(a)", "attention logits grow with distance beyond the trained length", "bound", ""),
    claim("Fig. 1(b)", "attention entropy grows with the number of keys", "entropy", " nats"),
    {
      where: "Fig. 1(c), Fig. 7",
      paper: "the first tokens' hidden states lie apart from all others",
      found: `position 0 lies ${far.toFixed(1)} times as far as chance in the layer where it is farthest`,
      agrees: far > 3,
    },
  ];
}

function passkeys({ passkey: { summaries } }: Evaluations): Found[] {
  const of = (name: string) => summaries.find(({ policy }) => policy === name);
  const lambda = of("lambda");
  const middle = of("lambda+recall");
  if (!lambda || !middle) return [];
  const able = lambda.within.accuracy >= 0.5;
  const agrees = able && middle.beyond.accuracy > lambda.beyond.accuracy + 0.3;
  const answers = ({ within, beyond }: typeof lambda) =>
    `${percent(within.accuracy)} within, ${percent(beyond.accuracy)} beyond`;
  const surprise = ({ beyond }: typeof lambda) => `${nats(beyond.nll)} (another key ${nats(beyond.otherNll)})`;
  return [
    {
      where: "Fig. 4, Table 2",
      paper: "top-k middle tokens find the key that is out of reach for Λ alone (79–91 %, truncation 27–66 %)",
      found: `keys found within the window and beyond it: Λ ${answers(lambda)}; with middle tokens ${answers(middle)}; NLL of the key beyond: Λ ${surprise(lambda)}, with middle tokens ${surprise(middle)}`,
      agrees,
      ...(agrees
        ? {}
        : {
            why: able ? "the key's tokens are not chosen" : "this model finds no key within its trained length either",
          }),
    },
  ];
}

function continuations({ continuation }: Evaluations): Found[] {
  if (!continuation) return [];
  const { rows } = continuation;
  const longest = Math.max(...rows.map(({ length }) => length));
  const at = (name: string) => rows.find(({ system, length }) => system === name && length === longest);
  const lambda = at("lambda");
  const full = at("full");
  if (!lambda || !full) return [];
  const show = ({ bleu, rougeL, nll }: ContinuationRow) =>
    `BLEU ${bleu.toFixed(2)}, ROUGE-L ${rougeL.value.toFixed(1)}, NLL ${nats(nll.value)}`;
  const agrees = !(full.nll.value <= FAILS * lambda.nll.value);
  const claims: Found[] = [
    {
      where: "Table 3",
      paper: "Λ continues a long text where vanilla attention cannot",
      found: `after ${longest} tokens Λ ${show(lambda)}; vanilla ${show(full)}`,
      agrees,
      ...(agrees ? {} : { why: "vanilla attention does not fail here, see above" }),
    },
  ];
  const equal = rows.filter(
    ({ system, nll }) => system.startsWith("re-truncation") && nll.value <= 1.005 * lambda.nll.value,
  );
  const cheapest = equal.toSorted((a, b) => a.flops - b.flops)[0];
  if (!rows.some(({ system }) => system.startsWith("re-truncation"))) return claims;
  const share = cheapest ? lambda.flops / cheapest.flops : 0;
  const cheap = share < 0.25;
  return [
    ...claims,
    {
      where: "Fig. 6",
      paper: "Λ needs less than 25 % of re-truncation's compute at equal quality",
      found: cheapest
        ? `${percent(share)} of the cheapest re-truncation within 0.5 % of its NLL (${cheapest.system})`
        : "no measured re-truncation comes within 0.5 % of its NLL",
      agrees: cheap,
      ...(cheap ? {} : { why: "such a short window is as good here: the model gains little from more context" }),
    },
  ];
}

function streams({ stream }: Evaluations): Found[] {
  if (!stream) return [];
  const { intervals, parameters, verdict } = stream;
  const tenth = Math.floor(intervals.length / 10);
  const mean = (from: number, of: (interval: (typeof intervals)[number]) => number) =>
    intervals.slice(from, from + tenth).reduce((sum, interval) => sum + of(interval), 0) / tenth;
  /** The last tenth relative to the second; the first includes warm-up. */
  const change = (of: Parameters<typeof mean>[1]) => mean(intervals.length - tenth, of) / mean(tenth, of);
  const good = Math.abs(change(({ nll }) => nll) - 1) < 0.1 && change(({ residentBytes }) => residentBytes) < 1.1;
  return [
    {
      where: "§4, 200M tokens",
      paper: "NLL stays flat over an unbroken stream",
      found: `${parameters.tokens.toLocaleString("en-US")} tokens: ${verdict}`,
      agrees: good && intervals.every(({ notFinite }) => notFinite === 0),
      essential: true,
    },
  ];
}

function nats(value: number): string {
  return value.toFixed(3);
}

function percent(share = Number.NaN): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function over({ value, low, high }: Pick<Interval, "value" | "low" | "high">): string {
  const change = (ratio: number) => `${ratio < 1 ? "−" : "+"}${Math.abs(100 * (ratio - 1)).toFixed(2)}`;
  return Number.isNaN(value) ? "NaN over" : `${change(value)} % [${change(low)}, ${change(high)}] over`;
}

function overRow({ low, high, ...row }: AblationRow): string {
  return over({ value: row["over re-truncation"], low, high });
}

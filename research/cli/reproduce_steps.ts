/** One evaluation of one model: one of our commands. */
export interface Step {
  readonly model: string;
  /** The folder of its results, and the JSON file among them. */
  readonly name: StepName;
  readonly json: string;
  readonly args: readonly string[];
  /** The figures that it draws, by their names in the docs. */
  readonly figures: Readonly<Record<string, string>>;
}

export type StepName =
  | "end"
  | "vanilla"
  | "curve"
  | "further"
  | "latex"
  | "ablation"
  | "passkey"
  | "recall"
  | "continuation"
  | "diagnose"
  | "stream";

export interface Setting {
  readonly texts: readonly string[];
  readonly latex: readonly string[];
  readonly trainedLength: number;
  /** 0: no stream. */
  readonly streamTokens: number;
  readonly quick: boolean;
}

const DIAGNOSIS = {
  "logits.svg": "Fig. 1(a): largest attention logit up to a distance",
  "entropy.svg": "Fig. 1(b): attention entropy by position",
  "hidden.svg": "Fig. 1(c), Fig. 7: hidden states by position, two principal components",
  "sinks.svg": "Attention that the first tokens get, by position",
};

/** A model trained at more tokens is read to twice its trained length only. */
const SHORT = 4096;

/** The evaluations of one model, most important first. Lengths are multiples of the trained length. */
export function stepsOf(model: string, setting: Setting): Step[] {
  const steps = setting.trainedLength > SHORT ? longSteps(setting) : shortSteps(setting);
  return steps.map(({ args, figures = {}, ...step }) => ({
    ...step,
    figures,
    model,
    args: [...args, "--model", model],
  }));
}

/** A step of any model. */
type Part = Omit<Step, "model" | "figures"> & Partial<Pick<Step, "figures">>;

function step(name: StepName, json: string, args: readonly string[], figures: Step["figures"] = {}): Part {
  return { name, json, args, figures };
}

const NLL = ["eval", "nll"];
const RECALL = ["eval", "recall", "--gates", "none,0", "--exact"];
const RECALLED = { "recall.svg": "What is found beyond the window, against what looking for it costs ordinary text" };

function fromTheEnd(length: number, tokens: number): string[] {
  return ["--length", `${length}`, "--from", `${Math.max(1, length - tokens)}`];
}

/** Of a model trained at short texts: to 64 times their length. */
function shortSteps({ texts, latex, trainedLength: p, streamTokens, quick }: Setting): Part[] {
  const text = ["--text", ...texts];
  const few = ["--text", ...texts.slice(0, quick ? 1 : 4)];
  const end = (length: number) => fromTheEnd(length, 1024);
  const steps: Part[] = [];
  if (quick) {
    steps.push(step("end", "nll", [...NLL, ...text, ...end(4 * p), "--policies", "lambda,retruncation,full"]));
  } else {
    const pair = ["--policies", "lambda,retruncation"];
    const curves = ["--length", `${16 * p}`, "--policies", "lambda,full,window,retruncation"];
    steps.push(
      step("end", "nll", [...NLL, ...text, ...end(64 * p), ...pair]),
      ...(latex.length ? [step("latex", "nll", [...NLL, "--text", ...latex, ...end(64 * p), ...pair])] : []),
      step("curve", "nll", [...NLL, ...few, ...curves], { "nll.svg": "Fig. 3: NLL by position" }),
      step("vanilla", "nll", [
        ...[...NLL, "--text", ...texts.slice(0, 1), ...end(64 * p)],
        ...["--policies", "lambda,full,retruncation"],
      ]),
    );
  }
  const sweeps = ["--n-globals", "0,10,100", "--n-locals", `${p}`, "--limits", `${p}`];
  const grid = quick
    ? ["--trials", "2", "--depths", "0,0.5", "--lengths", `${p / 2},${3 * p}`, "--policies", "lambda,lambda+recall"]
    : ["--trials", "3"];
  const continuation = quick
    ? ["--lengths", `${p / 2},${4 * p}`, "--new-tokens", "32", "--no-curve"]
    : ["--lengths", [p / 2, p, 4 * p, 16 * p].join(), "--strides", `${p / 16}`];
  steps.push(
    step("diagnose", "diagnose", ["diagnose", ...few, "--policies", "full,lambda,ceiling-only"], DIAGNOSIS),
    step("passkey", "passkey", ["eval", "passkey", "--key-digits", "4", ...grid], {
      "passkey.svg": "Fig. 4, Table 2: keys found by length and depth",
    }),
    step("recall", "recall", [...RECALL, ...few, "--length", `${(quick ? 6 : 16) * p}`], RECALLED),
    step("ablation", "ablation", ["eval", "ablation", ...few, ...(quick ? ["--length", `${4 * p}`, ...sweeps] : [])], {
      "ablation.svg": "Fig. 5: what each part of Λ-attention does",
    }),
    step("continuation", "continuation", ["eval", "continuation", ...few, ...continuation], {
      "continuation.svg": "Table 3: BLEU and ROUGE-L of continuations by length of the context",
      ...(quick ? {} : { "continuation-cost.svg": "Fig. 6: quality against compute" }),
    }),
  );
  if (streamTokens > 0) {
    const args = ["eval", "stream", ...text, "--tokens", `${streamTokens}`, ...(quick ? [] : ["--dtype", "q7"])];
    steps.push(step("stream", "stream", args, { "stream.svg": "One unbroken stream: NLL, speed, memory" }));
  }
  return steps;
}

/**
 * Of a model trained at long texts, whose window is much shorter: every policy on one text to twice that length, Λ and full
 * attention on two more. What a policy loses is compared with Λ, and Λ, just behind the trained length of all three, with
 * re-truncation in windows as long as its own.
 */
function longSteps({ texts, trainedLength: p, quick }: Setting): Part[] {
  const first = ["--text", ...texts.slice(0, 1)];
  const length = quick ? SHORT : 2 * p;
  const few = ["--text", ...texts.slice(0, quick ? 1 : 3)];
  const window = Math.min(SHORT, length / 4);
  // Keys and values of all tokens are attended under `full`: a length beyond the trained one that takes no hour per text.
  const beyond = quick ? length : (9 / 8) * p;
  const parts = ["full", "window", "sinks", "lambda-only", "ceiling-only"];
  const windows = ["lambda", ...[window / 4, window / 8].map((nLocal) => `lambda:${nLocal}`)];
  const readings = ["--policies", [...windows, ...parts].join(), "--n-local", `${window}`];
  const again = ["--window", `${window}`, "--stride", `${window / 2}`, "--n-local", `${window}`];
  const keys = quick ? [length / 4] : [window / 2, p / 4, beyond];
  const sampled = ["--length", `${length}`, "--every", quick ? "1" : "8"];
  const more = texts.slice(1, quick ? 1 : 3);
  return [
    step("end", "nll", [
      ...[...NLL, ...few, ...fromTheEnd(beyond, quick ? length / 2 : p / 8)],
      ...["--policies", "lambda,full,retruncation", ...again],
    ]),
    step("curve", "nll", [...NLL, ...first, ...sampled, ...readings], { "nll.svg": "Fig. 3, Fig. 5: NLL by position" }),
    ...(more.length === 0
      ? []
      : [
          step(
            "further",
            "nll",
            [...NLL, "--text", ...more, ...sampled, "--policies", "lambda,full", "--n-local", `${window}`],
            { "nll.svg": "Fig. 3: NLL by position, of more texts" },
          ),
        ]),
    step(
      "diagnose",
      "diagnose",
      ["diagnose", ...first, "--length", `${beyond}`, "--policies", "full,lambda"],
      DIAGNOSIS,
    ),
    step(
      "passkey",
      "passkey",
      [
        ...["eval", "passkey", "--key-digits", "4", "--trials", "1", "--lengths", keys.join()],
        ...["--depths", quick ? "0,0.5" : "0.5"],
        ...["--policies", "lambda,lambda+recall,full", "--recall-tokens", `${2 * p}`],
      ],
      { "passkey.svg": "Fig. 4, Table 2: keys found by length and depth" },
    ),
    step(
      "recall",
      "recall",
      [
        ...RECALL,
        "--full",
        ...few,
        "--length",
        `${quick ? length : length / 4}`,
        "--n-local",
        `${quick ? window / 4 : window / 8}`,
      ],
      RECALLED,
    ),
  ];
}

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
  | "latex"
  | "ablation"
  | "passkey"
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

/** The evaluations of one model, most important first. Lengths are multiples of the trained length. */
export function stepsOf(model: string, setting: Setting): Step[] {
  const { texts, latex, trainedLength: p, streamTokens, quick } = setting;
  const text = ["--text", ...texts];
  const few = ["--text", ...texts.slice(0, quick ? 1 : 4)];
  const step = (name: StepName, json: string, args: readonly string[], figures: Step["figures"] = {}): Step => {
    return { model, name, json, args: [...args, "--model", model], figures };
  };
  const end = (length: number) => ["--length", `${length}`, "--from", `${Math.max(1, length - 1024)}`];
  const nll = ["eval", "nll"];
  const steps: Step[] = [];
  if (quick) {
    steps.push(step("end", "nll", [...nll, ...text, ...end(8 * p), "--policies", "lambda,retruncation,full"]));
  } else {
    const pair = ["--policies", "lambda,retruncation"];
    const curves = ["--length", `${16 * p}`, "--policies", "lambda,full,window,retruncation"];
    steps.push(
      step("end", "nll", [...nll, ...text, ...end(64 * p), ...pair]),
      ...(latex.length ? [step("latex", "nll", [...nll, "--text", ...latex, ...end(64 * p), ...pair])] : []),
      step("curve", "nll", [...nll, ...few, ...curves], { "nll.svg": "Fig. 3: NLL by position" }),
      step("vanilla", "nll", [
        ...[...nll, "--text", ...texts.slice(0, 1), ...end(64 * p)],
        ...["--policies", "lambda,full,retruncation"],
      ]),
    );
  }
  const sweeps = ["--n-globals", "0,10,100", "--n-locals", `${p}`, "--limits", `${p}`];
  const grid = quick
    ? ["--trials", "2", "--depths", "0,0.5", "--lengths", `${p / 2},${3 * p}`, "--policies", "lambda,lambda+middle"]
    : ["--trials", "3"];
  const continuation = quick
    ? ["--lengths", `${p / 2},${4 * p}`, "--new-tokens", "32", "--no-curve"]
    : ["--lengths", [p / 2, p, 4 * p, 16 * p].join(), "--strides", `${p / 16}`];
  steps.push(
    step("diagnose", "diagnose", ["diagnose", ...few, "--policies", "full,lambda,ceiling-only"], DIAGNOSIS),
    step("passkey", "passkey", ["eval", "passkey", "--key-digits", "4", ...grid], {
      "passkey.svg": "Fig. 4, Table 2: keys found by length and depth",
    }),
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

/** The parts of the evaluations' JSON files that are compared with the paper; read with NaN in place of null. */
export interface Evaluations {
  readonly model: string;
  readonly end: NllResult;
  readonly vanilla?: NllResult | undefined;
  readonly latex?: NllResult | undefined;
  /** NLL by position under every policy. */
  readonly curve?: NllResult | undefined;
  readonly ablation?: Ablation | undefined;
  readonly passkey: {
    readonly summaries: readonly { readonly policy: string; readonly within: Answers; readonly beyond: Answers }[];
  };
  readonly continuation?: { readonly rows: readonly ContinuationRow[] } | undefined;
  readonly diagnose: {
    readonly keys: { readonly attended: number; readonly holds: boolean; readonly pinnedDifference: number };
    readonly policies: readonly PolicyDiagnosis[];
    readonly hidden: readonly {
      readonly layer: number;
      readonly byPosition: readonly number[];
      readonly chance: number;
    }[];
  };
  readonly stream?: StreamResult | undefined;
}

export interface NllResult {
  readonly ends: readonly {
    readonly policy: string;
    readonly from: number;
    readonly to: number;
    readonly nll: number;
    readonly overRetruncation?: { readonly value: number; readonly low: number; readonly high: number };
  }[];
  readonly trainedLength: number;
}

export interface Ablation {
  readonly from: number;
  readonly to: number;
  readonly rows: readonly AblationRow[];
}

export interface AblationRow {
  readonly variant: string;
  readonly nll: number;
  readonly "over re-truncation": number;
  readonly low: number;
  readonly high: number;
}

export interface Answers {
  readonly trials: number;
  readonly accuracy: number;
  readonly nll: number;
  readonly otherNll: number;
}

export interface ContinuationRow {
  readonly system: string;
  readonly length: number;
  readonly bleu: number;
  readonly rougeL: { readonly value: number };
  readonly nll: { readonly value: number };
  readonly flops: number;
}

export interface PolicyDiagnosis {
  readonly attention: string;
  readonly alike: { readonly entropy: Change; readonly sinks: Change };
  readonly layers: readonly {
    readonly layer: number | "all" | "global";
    readonly bound: { readonly trained: { readonly mean: number }; readonly end: { readonly mean: number } };
    readonly entropy: { readonly trained: { readonly mean: number }; readonly end: { readonly mean: number } };
    readonly sinks: { readonly trained: { readonly mean: number; readonly largest: number } };
  }[];
}

export interface Change {
  readonly trained: number;
  readonly end: number;
}

export interface StreamResult {
  readonly parameters: { readonly tokens: number };
  readonly verdict: string;
  readonly intervals: readonly {
    readonly nll: number;
    readonly residentBytes: number;
    readonly notFinite: number;
  }[];
}

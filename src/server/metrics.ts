/** Upper bounds of a histogram's buckets. see: OpenTelemetry's semantic conventions for gen_ai.server metrics */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];

type Labels = Readonly<Record<string, string>>;

interface Series {
  readonly labels: Labels;
  readonly counts: number[];
  sum: number;
  count: number;
}

/** A metric: a counter, or a histogram where it has bounds. */
class Metric {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[] | undefined;
  readonly #series = new Map<string, Series>();

  constructor(name: string, help: string, bounds?: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
  }

  /** Counts a value: what a counter grows by, or what a histogram has seen. */
  add(value: number, labels: Labels): void {
    const key = format(labels);
    let series = this.#series.get(key);
    if (!series) {
      series = { labels, counts: (this.#bounds ?? []).map(() => 0), sum: 0, count: 0 };
      this.#series.set(key, series);
    }
    series.sum += value;
    series.count++;
    for (const [i, bound] of (this.#bounds ?? []).entries()) if (value <= bound) (series.counts[i] as number)++;
  }

  text(): string {
    const kind = this.#bounds ? "histogram" : "counter";
    const lines = [`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} ${kind}`];
    for (const { labels, counts, sum, count } of this.#series.values()) {
      if (!this.#bounds) lines.push(`${this.#name}${format(labels)} ${sum}`);
      else {
        for (const [i, bound] of this.#bounds.entries())
          lines.push(`${this.#name}_bucket${format({ ...labels, le: `${bound}` })} ${counts[i]}`);
        lines.push(`${this.#name}_bucket${format({ ...labels, le: "+Inf" })} ${count}`);
        lines.push(`${this.#name}_sum${format(labels)} ${sum}`, `${this.#name}_count${format(labels)} ${count}`);
      }
    }
    return lines.join("\n");
  }
}

/** What a server counts, in Prometheus' text format under OpenTelemetry's names. Seconds and tokens. */
export class Metrics {
  readonly requests = new Metric("lambent_http_requests_total", "Requests by route and status.");
  readonly duration = new Metric("gen_ai_server_request_duration_seconds", "Time of a generation.", SECONDS);
  readonly firstToken = new Metric("gen_ai_server_time_to_first_token_seconds", "Time to the first token.", SECONDS);
  readonly perToken = new Metric("gen_ai_server_time_per_output_token_seconds", "Time per later token.", TOKEN_SECONDS);
  readonly promptTokens = new Metric("lambent_prompt_tokens_total", "Tokens of prompts, cached ones included.");
  readonly cachedTokens = new Metric("lambent_cached_tokens_total", "Tokens of prompts that were not read again.");
  readonly storeErrors = new Metric("lambent_store_errors_total", "Calls of the session store that failed.");
  readonly outputTokens = new Metric("lambent_output_tokens_total", "Tokens that were generated.");
  readonly reloads = new Metric("lambent_engine_reloads_total", "Models loaded again as their engine had ended.");

  /** @param gauges the values of the moment: name, help, and value by model */
  text(gauges: readonly (readonly [name: string, help: string, values: ReadonlyMap<string, number>])[]): string {
    const counted = Object.values(this).map((metric: Metric) => metric.text());
    const current = gauges.map(([name, help, values]) =>
      [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} gauge`,
        ...[...values].map(([model, value]) => `${name}${format(labelsOf(model))} ${value}`),
      ].join("\n"),
    );
    return `${[...counted, ...current].join("\n")}\n`;
  }
}

/** The labels of what a model did. */
export function labelsOf(model: string, operation?: string): Labels {
  const names = { gen_ai_provider_name: "lambent", gen_ai_request_model: model };
  return operation === undefined ? names : { gen_ai_operation_name: operation, ...names };
}

function format(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${quote(value)}`);
  return `{${pairs.join(",")}}`;
}

function quote(value: string): string {
  return `"${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`;
}

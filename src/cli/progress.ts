/** Work that takes less than this, in ms, gets no bar. */
const PATIENCE_MS = 1000;
/** Time between two redraws of a bar, in ms. */
const FRAME_MS = 100;
const BAR_COLUMNS = 40;
const ERASE_LINE = "\r\x1b[K";

/** A line such as `downloading [####----] 50% | 1m 5s left`, at most `columns` wide; `elapsed` in ms. */
export function progressLine(label: string, done: number, total: number, elapsed: number, columns: number): string {
  const part = total > 0 ? Math.min(done / total, 1) : 1;
  const full = Math.round(part * BAR_COLUMNS);
  const bar = "#".repeat(full) + "-".repeat(BAR_COLUMNS - full);
  const left = part > 0 && part < 1 ? ` | ${duration((elapsed * (1 - part)) / part)} left` : "";
  return `${label} [${bar}] ${Math.floor(part * 100)}%${left}`.slice(0, columns);
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours > 0) return `${hours}h ${minutes}m`;
  return minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}

/** A progress bar on stderr for work that takes longer than a second; nothing if stderr is not a terminal. */
export class Progress {
  readonly #label: string;
  readonly #begun = performance.now();
  #drawn: number | undefined;

  constructor(label: string) {
    this.#label = label;
  }

  update(done: number, total: number): void {
    const now = performance.now();
    const due = this.#drawn === undefined ? this.#begun + PATIENCE_MS : this.#drawn + FRAME_MS;
    if (!process.stderr.isTTY || now < due) return;
    this.#drawn = now;
    const { columns = 80 } = process.stderr;
    process.stderr.write(ERASE_LINE + progressLine(this.#label, done, total, now - this.#begun, columns - 1));
  }

  end(): void {
    if (this.#drawn !== undefined) process.stderr.write(ERASE_LINE);
    this.#drawn = undefined;
  }
}

/** Bars for consecutive stages of some work. */
export class Stages {
  #stage: string | undefined;
  #progress: Progress | undefined;

  update(stage: string, done: number, total: number): void {
    if (stage !== this.#stage) {
      this.end();
      this.#stage = stage;
      this.#progress = new Progress(stage);
    }
    this.#progress?.update(done, total);
  }

  end(): void {
    this.#progress?.end();
    this.#progress = undefined;
    this.#stage = undefined;
  }
}

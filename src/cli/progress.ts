import type { SingleBar } from "cli-progress";

/** What is quicker than this needs no bar. */
const PATIENCE_MS = 1000;

/** Imported when the first bar is due: most commands end before. */
let Bar: typeof SingleBar | undefined;

/** A progress bar on stderr for work that takes longer than a second; nothing off a terminal. */
export class Progress {
  readonly #label: string;
  readonly #begun = performance.now();
  #bar: SingleBar | undefined;

  constructor(label: string) {
    this.#label = label;
  }

  update(done: number, total: number): void {
    if (!process.stderr.isTTY || performance.now() - this.#begun < PATIENCE_MS) return;
    if (!Bar) {
      void import("cli-progress").then((module) => {
        Bar = module.SingleBar;
      });
      return;
    }
    if (!this.#bar) {
      const format = `${this.#label} {bar} {percentage}% | {eta_formatted} left`;
      this.#bar = new Bar({ format, stream: process.stderr, hideCursor: true, clearOnComplete: true });
      this.#bar.start(total, done);
    }
    this.#bar.setTotal(total);
    this.#bar.update(done);
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

/** Bars for each stage of something, one after the other. */
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

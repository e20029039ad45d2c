/** A runtime in which programs run. */
export interface Place {
  /** As --places takes it. */
  readonly name: string;
  /** As the table shows it: runtime and version. */
  readonly title: string;
  /** How many of two threads can be had. */
  readonly threads: 1 | 2;
  /** Whether models can be loaded from a directory. */
  readonly directories: boolean;
  /** Whether its pages are cross-origin isolated. */
  readonly isolated?: boolean;
  /** Makes an instance ready to run one program. */
  open(): Promise<Instance>;
}

export interface Instance {
  /** Runs the program on the job at a URL, to its end; what went wrong on the way, beside its reports. */
  run(url: string): Promise<string | undefined>;
  /** Ends it, whatever it is doing. */
  close(): Promise<void>;
}

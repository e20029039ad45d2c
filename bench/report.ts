import { mkdirSync, writeFileSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { load, machineFacts, versions } from "./machine.ts";
import { type LineChart, svg } from "./plot.ts";

/** A row of a table: what is undefined was not measured. */
export type Row = Readonly<Record<string, number | string | undefined>>;

/** What a suite found: printed as it comes, then written with all that it depends on. */
export class Report {
  readonly #suite: string;
  readonly #directory: string | undefined;
  readonly #begin = { date: new Date().toISOString(), load: load() };
  readonly #versions: Record<string, string> = versions();
  readonly #tables: Record<string, Row[]> = {};
  readonly #notes: string[] = [];
  readonly #charts: [name: string, chart: LineChart][] = [];

  /** `directory`: where results are written; undefined: nowhere. */
  constructor(suite: string, directory: string | undefined) {
    this.#suite = suite;
    this.#directory = directory;
    const { cpu, cores, lastLevelCache, system } = machineFacts();
    console.log(`${suite}: ${cpu}, ${cores} cores, last-level cache ${lastLevelCache}, ${system}`);
    console.log(`${this.#with()}; load ${this.#begin.load}; medians`);
  }

  /** Begins a table; returns what adds a row to it. `columns`: titles by the rows' keys. */
  table(name: string, columns: Readonly<Record<string, string>>): (row: Row) => void {
    const rows: Row[] = [];
    this.#tables[name] = rows;
    const entries = Object.entries(columns);
    const widths = entries.map(([, title]) => Math.max(9, title.length));
    const line = (cells: readonly string[]) =>
      console.log(cells.map((cell, i) => cell.padStart(widths[i] as number)).join("  "));
    return (row) => {
      if (rows.length === 0) {
        console.log(`\n${name}`);
        line(entries.map(([, title]) => title));
      }
      rows.push(row);
      line(entries.map(([key]) => cell(row[key])));
    };
  }

  /** A sentence, printed and kept. */
  note(text: string): void {
    this.#notes.push(text);
    console.log(text);
  }

  /** The version of something else that takes part. */
  version(name: string, version: string): void {
    this.#versions[name] = version;
  }

  chart(name: string, chart: LineChart): void {
    this.#charts.push([name, chart]);
  }

  async write(): Promise<void> {
    if (this.#directory === undefined) return;
    mkdirSync(this.#directory, { recursive: true });
    const machine = machineFacts();
    const command = commandLine();
    const { date } = this.#begin;
    const result = {
      ...{ suite: this.#suite, command, date },
      machine: { ...machine, loadBefore: this.#begin.load, loadAfter: load() },
      ...{ versions: this.#versions, notes: this.#notes, tables: this.#tables },
    };
    const path = join(this.#directory, this.#suite);
    writeFileSync(`${path}.json`, `${JSON.stringify(result, rounded, 2)}\n`);
    const caption = [`${machine.cpu}, ${machine.cores} cores; ${this.#with()}`, `${date}; ${command}`];
    for (const [name, chart] of this.#charts) writeFileSync(`${path}-${name}.svg`, await svg(chart, caption));
    const written = ["json", ...this.#charts.map(([name]) => `${name}.svg`)];
    console.log(`\nwritten to ${this.#directory}: ${this.#suite}, ${written.join(", ")}`);
  }

  #with(): string {
    return Object.entries(this.#versions)
      .map((entry) => entry.join(" "))
      .join(", ");
  }
}

/** What was typed, but for where files lie on this machine. */
function commandLine(): string {
  const parts = process.argv.slice(2).map((part) => (isAbsolute(part) ? basename(part) : part));
  return `bun run bench ${parts.join(" ")}`;
}

/** Six digits are more than any measurement has. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}

/** Numbers with four digits or so, whole ones as they are. */
function cell(value: number | string | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (typeof value === "string" || Number.isInteger(value)) return `${value}`;
  return value.toFixed(Math.max(0, Math.min(4, 3 - Math.floor(Math.log10(Math.abs(value) || 1)))));
}

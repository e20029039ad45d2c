import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import manifest from "../package.json" with { type: "json" };

/** What a figure depends on. */
export function machineFacts() {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    lastLevelCache: firstLine("/sys/devices/system/cpu/cpu0/cache/index3/size"),
    memoryGiB: Number((totalmem() / 2 ** 30).toFixed(1)),
    system: `${platform()} ${arch()} ${release()}`,
  };
}

export function versions(): Record<string, string> {
  const { bun, deno, node, v8 } = process.versions as Record<string, string | undefined>;
  const found = { lambent: manifest.version, ...(bun ? { bun } : deno ? { deno, v8 } : { node, v8 }) };
  return Object.fromEntries(Object.entries(found).filter((entry): entry is [string, string] => !!entry[1]));
}

/** The runtime that this runs in: name and version. */
export function runtimeName(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>;
  return bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`;
}

/** Processes that wanted to run, on average over the last minute. */
export function load(): number {
  return Number((loadavg()[0] as number).toFixed(2));
}

function firstLine(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "unknown";
  }
}

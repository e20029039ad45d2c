import type { Visit } from "./conformance.ts";
import type { Journey } from "./journeys.ts";
import type { Speed } from "./speed_table.ts";

export interface Found {
  visits: readonly Visit[];
  travelled: readonly Journey[];
  speeds: readonly Speed[] | undefined;
  tarball: string;
}
export function showVisit(v: Visit): string {
  const n = (f: (o: Visit["outcomes"][number]) => boolean) => v.outcomes.filter(f).length;
  return `${v.title}: ${n((o) => o.absent === undefined && o.wrong === undefined)} pass, ${n((o) => o.wrong !== undefined)} fail, ${n((o) => o.absent !== undefined)} absent [${v.seconds.toFixed(1)} s] ${JSON.stringify(v.engine)}`;
}
export function writePage(_: Found): void {}

import type { Command } from "commander";
import { Op } from "../../assembly/op.ts";
import { show } from "../base/errors.ts";
import { RECALL_MEMORY } from "../engine/logs.ts";
import { HIDDEN } from "../models/buffers.ts";
import { attentionOf } from "../models/program.ts";
import { recallBytes } from "../plan/cache.ts";
import { isLogged } from "../plan/middle.ts";
import type { Planned } from "../plan/plan_checkpoint.ts";
import { inspect, measureReading } from "../session/load.ts";
import { attendedOf, describeLayers } from "./inspect_layers.ts";
import { DEFAULT_MODEL, describeRecall, loadOptions, type ModelFlags, modelOptions } from "./options.ts";
import { Stages } from "./progress.ts";
import { warnUnused, write } from "./streams.ts";

type Findings = ReturnType<typeof findingsOf>;

interface InspectFlags extends ModelFlags {
  readonly json?: boolean;
  readonly roofline?: boolean;
}

/** Adds the command `inspect`; `signal` aborts it. */
export function addInspect(program: Command, signal: AbortSignal): void {
  modelOptions(program.command("inspect"))
    .description("print a model's operations, shapes, bytes and memory, from its headers")
    .option("--json", "print one JSON object")
    .option("--roofline", "measure how fast memory is read here, and predict the time of a token")
    .action(async (flags: InspectFlags) => {
      const stages = new Stages();
      const where = flags.model ?? DEFAULT_MODEL;
      const options = loadOptions(flags, signal, stages);
      const planned = await inspect(where, options);
      stages.end();
      warnUnused(where, planned.unused);
      const reading = flags.roofline ? await measureReading(options) : undefined;
      const found = findingsOf(planned, reading, options.recallMemory);
      return write(flags.json ? `${JSON.stringify(found)}\n` : describe(found, planned));
    });
}

/** What --json prints; what has no bound is null. */
function findingsOf(
  planned: Planned,
  reading: Awaited<ReturnType<typeof measureReading>> | undefined,
  recallMemory = RECALL_MEMORY,
) {
  const { program, plan } = planned;
  const segments = plan.segments.map((segment, i) => ({
    bank: segment.bank,
    carry: carriedTo(plan, i),
    operations: (plan.records[i] ?? []).map(({ op, text, weightBytes, cacheBytes, flops }) => ({
      op: Op[op] ?? "",
      text,
      ...{ weightBytes, cacheBytes, flops },
    })),
  }));
  const operations = segments.flatMap((segment) => segment.operations);
  const sum = (key: "weightBytes" | "cacheBytes" | "flops") => operations.reduce((n, record) => n + record[key], 0);
  const total = { weightBytes: sum("weightBytes"), cacheBytes: sum("cacheBytes"), flops: sum("flops") };
  const policy = Object.entries(plan.policy).map(([key, value]) => [key, value === Infinity ? null : value]);
  const { modelType, vocabSize, trainedLength, withoutEffect } = program;
  return {
    ...{ modelType, vocabSize, trainedLength, withoutEffect, cacheDtype: plan.options.cacheDtype },
    ...(Object.fromEntries(policy) as Record<string, unknown>),
    layers: attendedOf(planned),
    memory: {
      weightBytes: plan.weightBytes,
      cacheBytes: plan.cacheBytes,
      sessionBytes: plan.banks.reduce((n, bank) => n + bank.slotBytes, 0),
      memoryBytes: plan.memoryBytes,
      maximumBytes: plan.banks.reduce((n, bank) => n + bank.maximumBytes, 0),
      sessions: sessionsIn(plan),
      banks: plan.banks.length,
      logBytes: isLogged(plan.policy) ? recallMemory : 0,
    },
    total,
    roofline: reading && {
      ...reading,
      millisecondsPerToken: ((total.weightBytes + total.cacheBytes) / reading.bytesPerSecond) * 1000,
    },
    segments,
  };
}

/** How many sessions there is room for, of maxSessions. */
function sessionsIn({ banks, options }: Planned["plan"]): number {
  const fit = banks.map(({ maximumBytes, slots, slotBytes }) => Math.floor((maximumBytes - slots) / slotBytes));
  return Math.min(options.maxSessions, ...fit.filter(Number.isFinite));
}

/** What is brought before segment i of the program. */
function carriedTo({ segments }: Planned["plan"], i: number): string | undefined {
  const carry = segments[i]?.carry;
  if (carry) return `${HIDDEN}[${carry.width}] from bank ${carry.bank}`;
  const layer = segments[i - 1]?.gathers;
  return layer === undefined ? undefined : `the chosen keys and values of layer ${layer} from the log`;
}

function describe({ segments, layers, memory, total, roofline }: Findings, { program, plan }: Planned): string {
  const { policy, options } = plan;
  const bound = (value: number) => (value === Infinity ? "∞" : `${value}`);
  const lines = segments.flatMap(({ bank, carry, operations }) => [
    `bank ${bank}${carry ? `, with ${carry}` : ""}`,
    ...operations.map(
      ({ op, text, weightBytes, cacheBytes, flops }) =>
        `  ${op.padEnd(11)} ${bytes(weightBytes + cacheBytes)} ${number(flops)} flop  ${text}`,
    ),
  ]);
  const few = memory.sessions < options.maxSessions ? `, as no more of ${options.maxSessions} fit` : "";
  const more =
    memory.sessions > 1 ? `${exact(memory.maximumBytes)} with ${memory.sessions}${few}` : `the only one${few}`;
  const count = segments.reduce((n, { operations }) => n + operations.length, 0);
  return [
    `${program.modelType}, ${count} operations; bytes read and floating-point operations for one token`,
    ...lines,
    "",
    `attention   ${policy.attention}, nGlobal ${policy.nGlobal}, nLocal ${bound(policy.nLocal)}, limit ${bound(policy.limit)}, maxPositions ${bound(policy.maxPositions)}`,
    ...describeLayers(layers).map((line, i) => `${i === 0 ? "layers" : ""}`.padEnd(12) + line),
    ...(program.withoutEffect.length > 0 ? [`no effect   ${program.withoutEffect.map(show).join(", ")}`] : []),
    ...(policy.recall ? [`recall      ${describeRecall(policy)}; ${describeKept({ program, plan })}`] : []),
    `one token   reads ${exact(total.weightBytes)} of weights, ${exact(total.cacheBytes)} of cache at full window; ${total.flops} flop`,
    ...(roofline
      ? [
          `roofline    ${roofline.millisecondsPerToken.toFixed(2)} ms for it at ${(roofline.bytesPerSecond / 1e9).toFixed(1)} GB/s, read by ${roofline.threads} thread${roofline.threads > 1 ? "s" : ""}`,
        ]
      : []),
    `weights     ${exact(memory.weightBytes)}`,
    `cache       ${exact(memory.cacheBytes)} of keys and values per session, ${options.cacheDtype}`,
    `session     ${exact(memory.sessionBytes)} per session`,
    `memory      ${exact(memory.memoryBytes)} with one session, ${more}, in ${memory.banks} bank${memory.banks > 1 ? "s" : ""}`,
    ...(memory.logBytes > 0
      ? [`log         ${exact(memory.logBytes)} of segments in addition, for all sessions together`]
      : []),
    "",
  ].join("\n");
}

/** What is kept of every 1,000 tokens that middle ones are chosen from. */
function describeKept({ program, plan }: Pick<Planned, "program" | "plan">): string {
  const kept = plan.layers.flatMap(({ cache }, layer) => {
    const attention = attentionOf(program, layer);
    return attention && cache.middle ? [recallBytes(attention, cache)] : [];
  });
  const [memory, log] = (["memory", "log"] as const).map((part) => {
    return kept.reduce((sum, bytes) => sum + Math.ceil(1000 * bytes[part]), 0);
  }) as [number, number];
  return `${exact(memory)} per 1000 tokens${log > 0 ? `, ${exact(log)} in the log` : ""}`;
}

function bytes(count: number): string {
  return `${number(count)} B`;
}

function number(count: number): string {
  return count.toLocaleString("en-US").padStart(13);
}

function exact(count: number): string {
  return `${count} bytes (${(count / 2 ** 20).toFixed(1)} MiB)`;
}

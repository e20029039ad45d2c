import type { Command } from "commander";
import { Op } from "../../assembly/op.ts";
import { show } from "../base/errors.ts";
import { inspect, measureReading } from "../session/load.ts";
import { DEFAULT_MODEL, describeMiddle, loadOptions, type ModelFlags, modelOptions } from "./options.ts";
import { Stages } from "./progress.ts";
import { warnUnused, write } from "./streams.ts";

/** Adds the command `inspect`; `signal` aborts it. */
export function addInspect(program: Command, signal: AbortSignal): void {
  modelOptions(program.command("inspect"))
    .description("print a model's operations, shapes, bytes and memory, from its headers")
    .option("--json", "print one JSON object")
    .option("--roofline", "measure how fast memory is read here, and predict the time of a token")
    .action(async (flags: ModelFlags & { json?: boolean; roofline?: boolean }) => {
      const stages = new Stages();
      const where = flags.model ?? DEFAULT_MODEL;
      const options = loadOptions(flags, signal, stages);
      const { program: model, plan, unused } = await inspect(where, options);
      stages.end();
      warnUnused(where, unused);
      const segments = plan.segments.map((segment, i) => ({
        bank: segment.bank,
        carry: segment.carry ? `hidden[${segment.carry.width}] from bank ${segment.carry.bank}` : undefined,
        operations: (plan.records[i] ?? []).map(({ op, text, weightBytes, cacheBytes, flops }) => ({
          op: Op[op] ?? "",
          text,
          ...{ weightBytes, cacheBytes, flops },
        })),
      }));
      const operations = segments.flatMap((segment) => segment.operations);
      const sum = (key: "weightBytes" | "cacheBytes" | "flops") => operations.reduce((n, record) => n + record[key], 0);
      const total = { weightBytes: sum("weightBytes"), cacheBytes: sum("cacheBytes"), flops: sum("flops") };
      const reading = flags.roofline ? await measureReading(options) : undefined;
      const roofline = reading && {
        ...reading,
        millisecondsPerToken: ((total.weightBytes + total.cacheBytes) / reading.bytesPerSecond) * 1000,
      };
      const memory = {
        weightBytes: plan.weightBytes,
        cacheBytes: plan.cacheBytes,
        sessionBytes: plan.banks.reduce((n, bank) => n + bank.slotBytes, 0),
        memoryBytes: plan.memoryBytes,
        maximumBytes: plan.banks.reduce((n, bank) => n + bank.maximumBytes, 0),
        banks: plan.banks.length,
      };
      if (flags.json) {
        const policy = Object.entries(plan.policy).map(([key, value]) => [key, value === Infinity ? null : value]);
        const { modelType, vocabSize, trainedLength, withoutEffect } = model;
        const cacheDtype = plan.options.cacheDtype;
        const object = {
          modelType,
          vocabSize,
          trainedLength,
          withoutEffect,
          cacheDtype,
          ...Object.fromEntries(policy),
          memory,
          total,
          roofline,
          segments,
        };
        return write(`${JSON.stringify(object)}\n`);
      }
      const lines = segments.flatMap(({ bank, carry, operations }) => [
        `bank ${bank}${carry ? `, with ${carry}` : ""}`,
        ...operations.map(
          ({ op, text, weightBytes, cacheBytes, flops }) =>
            `  ${op.padEnd(11)} ${bytes(weightBytes + cacheBytes)} ${number(flops)} flop  ${text}`,
        ),
      ]);
      const { policy } = plan;
      const bound = (value: number) => (value === Infinity ? "∞" : `${value}`);
      return write(
        `${model.modelType}, ${operations.length} operations; bytes read and floating-point operations for one token\n` +
          `${lines.join("\n")}\n\n` +
          `attention   ${policy.attention}, nGlobal ${policy.nGlobal}, nLocal ${bound(policy.nLocal)}, limit ${bound(policy.limit)}, maxPositions ${bound(policy.maxPositions)}\n` +
          (model.withoutEffect.length > 0 ? `no effect   ${model.withoutEffect.map(show).join(", ")}\n` : "") +
          (policy.middleK ? `middle      ${describeMiddle(policy)}\n` : "") +
          `one token   reads ${exact(total.weightBytes)} of weights, ${exact(total.cacheBytes)} of cache at full window; ${total.flops} flop\n` +
          (roofline
            ? `roofline    ${roofline.millisecondsPerToken.toFixed(2)} ms for it at ${(roofline.bytesPerSecond / 1e9).toFixed(1)} GB/s, read by ${roofline.threads} thread${roofline.threads > 1 ? "s" : ""}\n`
            : "") +
          `weights     ${exact(memory.weightBytes)}\n` +
          `cache       ${exact(memory.cacheBytes)} of keys and values per session, ${plan.options.cacheDtype}\n` +
          `session     ${exact(memory.sessionBytes)} per session\n` +
          `memory      ${exact(memory.memoryBytes)} with one session, ${exact(memory.maximumBytes)} with ${plan.options.maxSessions}, in ${memory.banks} bank${memory.banks > 1 ? "s" : ""}\n`,
      );
    });
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

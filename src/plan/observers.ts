import { Attention, Nll, Observe, Op, Span, Tap } from "../../assembly/op.ts";
import { mismatch, OptionError } from "../base/errors.ts";
import type { Arena } from "../machine/arena.ts";
import { HIDDEN, LOGITS } from "../models/buffers.ts";
import { headsOf, hiddenSize, type Program } from "../models/program.ts";
import { type Addresses, type PlannedRecord, record } from "./record.ts";

/**
 * What a model's steps record beside their results. Each costs memory and time; without it there is no record of it.
 */
export interface ObserveOptions {
  /** What src/engine/score.ts needs: for every row that wants logits, the NLL of the token that follows it. */
  readonly nll?: boolean | undefined;
  /**
   * Statistics of the softmax of every layer, row and query head, and every logit of a step's last row at a distance
   * below `span` tokens. `sinks`: the number of first tokens whose share is reported, 10 by default.
   */
  readonly attention?: { readonly span: number; readonly sinks?: number | undefined } | undefined;
  /**
   * Hidden states, all or those of these indices: 0 is the embedding's output, i the output of layer i − 1, without a
   * final norm.
   */
  readonly hidden?: true | readonly number[] | undefined;
}

/** ObserveOptions with everything decided. */
export interface Observers {
  readonly nll: boolean;
  readonly attention: { readonly span: number; readonly sinks: number } | undefined;
  readonly hidden: readonly number[];
}

/** Addresses of what the observers of one unit (the embedding, a layer, the head) write, in its bank. */
export interface Observed {
  /** f64[logitsRows, 2]: Op.Nll's results, and u32[logitsRows]: the targets, written before the step. */
  readonly nll?: { readonly out: number; readonly targets: number } | undefined;
  /** f32[chunkSize, heads, 3] and f32[heads, span], as Observe says. */
  readonly attention?: { readonly statistics: number; readonly logits: number } | undefined;
  /** f32[chunkSize, dim] */
  readonly hidden?: number | undefined;
}

const FIRST_TOKENS = 10;
/** Bytes of logits of a step with `nll`, at most, unless that is fewer than 16 rows. */
const LOGITS_BYTES = 2 ** 24;

/**
 * Rows of a step that may want logits: one for every session, 16 at least; where NLL alone is asked for, as many as fit
 * LOGITS_BYTES. More would take memory.
 */
export function logitsRows(
  { chunkSize, maxSessions }: { readonly chunkSize: number; readonly maxSessions: number },
  vocabSize: number,
  observers: Observers,
): number {
  const rows = observers.nll ? Math.floor(LOGITS_BYTES / (4 * vocabSize)) : 0;
  return Math.min(chunkSize, Math.max(16, maxSessions, rows));
}

/** Decides every number of `observe`. Throws OptionError for what cannot be observed. */
export function resolveObservers(options: ObserveOptions | undefined, layers: number): Observers {
  const { nll = false, attention, hidden = [] } = options ?? {};
  const whole = (name: string, value: number, min: number, max: number): number => {
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new OptionError(mismatch(`observe.${name}`, `a whole number from ${min} to ${max}`, value));
  };
  return {
    nll,
    attention: attention && {
      span: whole("attention.span", attention.span, 1, 2 ** 24),
      sinks: whole("attention.sinks", attention.sinks ?? FIRST_TOKENS, 0, 2 ** 31),
    },
    hidden:
      hidden === true
        ? Array.from({ length: layers + 1 }, (_, i) => i)
        : hidden.map((index) => whole("hidden", index, 0, layers)),
  };
}

/** Takes memory for the observers of a unit: 0 is the embedding, i layer i − 1, the last one the head. */
export function placeObserved(
  arena: Arena,
  unit: number,
  program: Program,
  options: {
    readonly observe?: Observers | undefined;
    readonly logitsRows: number;
    readonly chunkSize: number;
  },
): Observed {
  const { observe, logitsRows, chunkSize } = options;
  if (!observe) return {};
  const head = unit === program.layers.length + 1;
  const { nll, attention } = observe;
  return {
    nll: head && nll ? { out: arena.take(16 * logitsRows), targets: arena.take(4 * logitsRows) } : undefined,
    attention:
      unit > 0 && !head && attention
        ? placeAttention(arena, headsOf(program, unit - 1), chunkSize, attention.span)
        : undefined,
    hidden: observe.hidden.includes(unit) ? arena.take(4 * chunkSize * hiddenSize(program)) : undefined,
  };
}

function placeAttention(arena: Arena, heads: number, chunkSize: number, span: number) {
  return { statistics: arena.take(12 * chunkSize * heads), logits: arena.take(4 * heads * span) };
}

/** The records of a unit with those of its observers inserted. */
export function withObservers(
  records: readonly PlannedRecord[],
  observed: Observed,
  program: Program,
  observers: Observers | undefined,
  at: Addresses,
): PlannedRecord[] {
  const { nll, attention, hidden } = observed;
  const all = records.flatMap((one) => {
    if (!attention || one.op !== Op.Attention) return [one];
    return [one, attentionObserver(one, attention, observers?.attention as NonNullable<Observers["attention"]>)];
  });
  if (hidden !== undefined) {
    const dim = hiddenSize(program);
    const fields = { [Tap.y]: hidden, [Tap.x]: at.buffer(HIDDEN), [Tap.dim]: dim };
    all.push(record(Op.Tap, Span.All, fields, `observed[${dim}] = hidden`, { flops: 0 }));
  }
  if (nll) {
    const n = program.vocabSize;
    const fields = { [Nll.out]: nll.out, [Nll.x]: at.buffer(LOGITS), [Nll.targets]: nll.targets, [Nll.n]: n };
    all.push(record(Op.Nll, Span.Logits, fields, `observed[2] = nll of logits[${n}]`, { flops: 30 * n }));
  }
  return all;
}

/** Op.Observe of an attention: its operands and the observer's own. */
function attentionObserver(
  { words, cacheBytes, flops }: PlannedRecord,
  { statistics, logits }: NonNullable<Observed["attention"]>,
  { span, sinks }: NonNullable<Observers["attention"]>,
): PlannedRecord {
  const operands = [...words.entries()].slice(Attention.out, Observe.statistics);
  const fields = {
    ...Object.fromEntries(operands),
    [Observe.statistics]: statistics,
    [Observe.logits]: logits,
    [Observe.span]: span,
    [Observe.sinks]: sinks,
  };
  const heads = words[Attention.heads] as number;
  const text = `observed[${heads},3], [${heads},${span}] of the last row = softmax of the attention`;
  // Attention reads keys and values once, this the keys twice.
  return record(Op.Observe, Span.All, fields, text, { cacheBytes, flops });
}

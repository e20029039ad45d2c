import { mismatch, OptionError } from "../base/errors.ts";
import { log } from "../base/math.ts";
import type { Observed } from "../plan/observers.ts";
import type { Engine } from "./engine.ts";
import { asksRecall } from "./reading.ts";
import { hold, type SessionState } from "./state.ts";

/** NLL in nats of a batch of tokens, each given all that the session read before; `position`: that of the first. */
export type OnNll = (nll: Float32Array, position: number) => void | Promise<void>;

/**
 * Reads tokens of a text and gives the NLL of every one but a session's very first. NaN for one whose logits are not all
 * finite. The last token is read by the next call, so how a text is cut into calls changes nothing; a snapshot between
 * them carries it. On abort, what was scored so far stays read, and the token after it is the session's last.
 * Throws OptionError unless the engine was loaded with `observe: { nll: true }`.
 */
export async function score(
  engine: Engine,
  id: number,
  tokens: readonly number[],
  onNll: OnNll,
  signal?: AbortSignal,
): Promise<void> {
  const { nll, bank: number } = engine.plan.observed.at(-1) as Observed & { bank: number };
  if (!nll) throw new OptionError(mismatch("observe.nll", "true, to score", "false"));
  const bank = engine.bank(number);
  const results = (first: number, count: number): Float32Array => {
    const parts = new Float64Array(bank.memory.buffer, nll.out + 16 * first, 2 * count);
    return Float32Array.from({ length: count }, (_, i) => surprise(parts[2 * i] as number, parts[2 * i + 1] as number));
  };
  const begin = async (session: SessionState, token: number): Promise<void> => {
    // A token that is pending was scored, or chosen, before.
    if (session.pending >= 0) return;
    const { position } = session;
    if (position > session.origin && !session.hasLogits) {
      throw new OptionError(`session ${id} has no logits to score by: its last reading was cut off`);
    }
    if (session.hasLogits) {
      bank.kernels.nll(nll.out, bank.slot(session.slot), token, engine.program.vocabSize);
      await onNll(results(0, 1), position);
    }
    hold(session, token);
  };
  await engine.run(id, tokens, async (session, all) => {
    await begin(session, all[0] as number);
    if (all.length === 1) return undefined;
    return {
      session,
      tokens: all.slice(0, -1),
      wants: () => true,
      asksRecall: asksRecall(engine.plan, session),
      before({ index, count, logitsRow }) {
        new Uint32Array(bank.memory.buffer, nll.targets + 4 * logitsRow, count).set(
          all.slice(index + 1, index + 1 + count),
        );
      },
      after({ index, count, logitsRow, position }) {
        hold(session, all[index + count] as number);
        return onNll(results(logitsRow, count), position + 1);
      },
      signal,
    };
  });
}

/** ln(sum) + rest; NaN if they are. */
function surprise(sum: number, rest: number): number {
  return Number.isNaN(sum) ? NaN : log(sum) + rest;
}

import type { RecalledToken } from "../engine/recalled.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Source } from "./chat.ts";
import { encodePiece } from "./chat_keys.ts";
import type { Pieces } from "./chat_pieces.ts";

/** Sources of an answer at most. */
const MOST = 3;
/** Recalled tokens at most so far apart are of one passage, which has at most so many. */
const [APART, LONGEST] = [8, 48];
/** Tokens that have less than this share of the heaviest one's weight are of none. */
const LEAST = 1 / 20;
/** Tokens of text that are shown before and behind the recalled ones. */
const [BEFORE, BEHIND] = [8, 16];

/** Recalled tokens that lie side by side. */
interface Span {
  readonly first: number;
  last: number;
  weight: number;
}

/** The passages of a conversation that recalled tokens are of, the heaviest first. Its first token is at position 0. */
export function sourcesOf(tokenizer: Tokenizer, pieces: Pieces, recalled: readonly RecalledToken[]): Source[] {
  if (recalled.length === 0) return [];
  const spans = spansOf(recalled);
  const last = Math.max(...spans.map((span) => span.last));
  const sources: Source[] = [];
  let begin = 0;
  for (const [i, text] of pieces.texts.entries()) {
    if (begin > last) break;
    const ids = encodePiece(tokenizer, text, i === 0);
    const message = pieces.of.lastIndexOf(i);
    for (const { first, last, weight } of message < 0 ? [] : spans) {
      const [from, to] = [Math.max(0, first - begin - BEFORE), last - begin + 1 + BEHIND];
      if (first < begin || first >= begin + ids.length) continue;
      const shown = tokenizer.decode(ids.slice(from, to), { skipSpecialTokens: true });
      sources.push({ message, text: whole(shown, from > 0, to < ids.length), weight });
    }
    begin += ids.length;
  }
  return sources.sort((a, b) => b.weight - a.weight);
}

/** The heaviest passages. */
function spansOf(recalled: readonly RecalledToken[]): Span[] {
  const spans: Span[] = [];
  const least = LEAST * (recalled[0]?.weight ?? 0);
  const heavy = recalled.filter(({ weight }) => weight >= least);
  for (const { position, weight } of heavy.toSorted((a, b) => a.position - b.position)) {
    const before = spans.at(-1);
    if (before && position - before.last <= APART && position - before.first < LONGEST) {
      before.last = position;
      before.weight += weight;
    } else spans.push({ first: position, last: position, weight });
  }
  return spans.sort((a, b) => b.weight - a.weight).slice(0, MOST);
}

/** A text without the parts of words and characters that it may begin or end with. */
function whole(decoded: string, cutBefore: boolean, cutBehind: boolean): string {
  const text = decoded.replaceAll(/^\ufffd+|\ufffd+$/g, "");
  const begin = cutBefore ? text.search(/\s/) : 0;
  const end = cutBehind ? text.search(/\s\S*$/) : text.length;
  return (begin >= 0 && end > begin ? text.slice(begin, end) : text).trim();
}

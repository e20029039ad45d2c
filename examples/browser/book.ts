import type { RecalledToken, Tokenizer } from "lambent";

/** Sources that are lit up at most. */
const MOST = 5;
/** Recalled tokens at most so far apart are one passage, which has at most so many. */
const [APART, LONGEST] = [8, 48];
/** Tokens that have less than this share of the heaviest one's weight are of none. */
const LEAST = 1 / 20;

/** A part of the text, in characters of its paragraph. */
interface Mark {
  readonly begin: number;
  readonly end: number;
  /** From 0 to 1, of the heaviest. */
  readonly weight: number;
}

/** Tokens of a paragraph, and the position of the first one in the session. */
interface Paragraph {
  readonly text: string;
  readonly ids: readonly number[];
  readonly position: number;
  readonly element: HTMLElement;
}

/** A passage that was recalled. */
export interface Passage {
  readonly text: string;
  readonly weight: number;
  readonly element: HTMLElement;
}

/** A text as paragraphs, whose tokens are known one by one, so that places of it can be lit up. */
export class Book {
  readonly #tokenizer: Tokenizer;
  readonly #paragraphs: Paragraph[] = [];
  readonly #lit = new Set<Paragraph>();
  /** All tokens, with those that a text begins with. */
  readonly ids: readonly number[];

  constructor(tokenizer: Tokenizer, text: string) {
    this.#tokenizer = tokenizer;
    const ids = [...tokenizer.encode("")];
    for (const paragraph of text.split(/\n\s*\n/).filter((part) => part.trim() !== "")) {
      const own = tokenizer.encode(`${paragraph}\n\n`, { addSpecialTokens: false });
      const element = Object.assign(document.createElement("p"), { textContent: paragraph });
      this.#paragraphs.push({ text: paragraph, ids: own, position: ids.length, element });
      for (const id of own) ids.push(id);
    }
    this.ids = ids;
  }

  get elements(): HTMLElement[] {
    return this.#paragraphs.map(({ element }) => element);
  }

  /** Lights up what was recalled; gives the passages, the heaviest first. */
  light(recalled: readonly RecalledToken[]): Passage[] {
    for (const { element, text } of this.#lit) element.textContent = text;
    this.#lit.clear();
    const passages: { paragraph: Paragraph; first: number; last: number; weight: number }[] = [];
    const least = LEAST * (recalled[0]?.weight ?? 0);
    const heavy = recalled.filter(({ weight }) => weight >= least);
    for (const { position, weight } of heavy.toSorted((a, b) => a.position - b.position)) {
      const paragraph = this.#at(position);
      if (!paragraph) continue;
      const place = position - paragraph.position;
      const before = passages.at(-1);
      const near = before && place - before.last <= APART && place - before.first < LONGEST;
      if (near && before.paragraph === paragraph) {
        before.last = place;
        before.weight += weight;
      } else passages.push({ paragraph, first: place, last: place, weight });
    }
    const heaviest = passages.sort((a, b) => b.weight - a.weight).slice(0, MOST);
    const most = heaviest[0]?.weight ?? 1;
    const found = heaviest.map(({ paragraph, first, last, weight }) => {
      const [begin, end] = [this.#character(paragraph, first), this.#character(paragraph, last + 1)];
      return { paragraph, mark: { begin, end, weight: weight / most }, weight };
    });
    for (const paragraph of new Set(found.map((one) => one.paragraph))) {
      this.#mark(
        paragraph,
        found.filter((one) => one.paragraph === paragraph).map(({ mark }) => mark),
      );
    }
    return found.map(({ paragraph, mark, weight }) => {
      const element = paragraph.element.querySelector(`[data-begin="${mark.begin}"]`) as HTMLElement;
      return { text: paragraph.text.slice(mark.begin, mark.end).trim(), weight, element };
    });
  }

  /** The paragraph that a token is in. */
  #at(position: number): Paragraph | undefined {
    let [low, high] = [0, this.#paragraphs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#paragraphs[middle] as Paragraph).position <= position) low = middle + 1;
      else high = middle;
    }
    return this.#paragraphs[low - 1];
  }

  /** Where token `place` of a paragraph begins. */
  #character({ text, ids }: Paragraph, place: number): number {
    return Math.min(text.length, this.#tokenizer.decode(ids.slice(0, place), { skipSpecialTokens: true }).length);
  }

  #mark(paragraph: Paragraph, marks: readonly Mark[]): void {
    const { element, text } = paragraph;
    const parts: (Node | string)[] = [];
    let at = 0;
    for (const { begin, end, weight } of marks.toSorted((a, b) => a.begin - b.begin)) {
      const mark = Object.assign(document.createElement("mark"), { textContent: text.slice(begin, end) });
      mark.dataset.begin = `${begin}`;
      mark.style.setProperty("--weight", `${(100 * (0.25 + 0.75 * weight)).toFixed(0)}%`);
      parts.push(text.slice(at, begin), mark);
      at = end;
    }
    element.replaceChildren(...parts, text.slice(at));
    this.#lit.add(paragraph);
  }
}

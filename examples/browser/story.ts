import { count } from "./words.ts";

/** Characters that stay on the page: the story is endless, the page must not be. */
const KEPT = 50_000;
/** A longer paragraph is continued in a new one, because the one being written is laid out again each time. */
const LONGEST = 3_000;

/** A story as paragraphs, of which the last ones stay. It scrolls along while the reader is at the end. */
export class Story {
  readonly #box: HTMLElement;
  readonly #note: HTMLElement;
  #waiting = "";
  #paragraph: Text | undefined;
  /** Characters on the page, and characters removed from it. */
  #shown = 0;
  #gone = 0;
  #follows = true;

  constructor(box: HTMLElement, note: HTMLElement) {
    this.#box = box;
    this.#note = note;
    box.addEventListener("scroll", () => {
      this.#follows = box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
    });
  }

  clear(): void {
    this.#box.replaceChildren();
    this.#note.hidden = true;
    this.#waiting = "";
    this.#paragraph = undefined;
    this.#shown = this.#gone = 0;
    this.#follows = true;
  }

  /** Shows the reader's prompt. */
  begin(prompt: string): void {
    this.#paragraph = this.#open();
    const words = Object.assign(document.createElement("span"), { className: "prompt", textContent: prompt });
    this.#paragraph.before(words);
    this.#shown += prompt.length;
    this.#scroll();
  }

  /** Shows a remark about the story, on a line of its own. */
  remark(text: string): void {
    this.flush();
    this.#open("remark").data = text;
    this.#shown += text.length;
    this.#paragraph = undefined;
    this.#scroll();
  }

  /** Text for the next flush. */
  push(text: string): void {
    this.#waiting += text;
    const more = this.#waiting.length - KEPT;
    // Nothing is flushed while the page is in the background.
    if (more > KEPT) {
      this.#waiting = this.#waiting.slice(more);
      this.#gone += more;
    }
  }

  /** Shows what was pushed, at most once per frame. */
  flush(): void {
    const text = this.#waiting.trimEnd();
    if (text === "") return;
    // The paragraph break may not be complete yet.
    this.#waiting = this.#waiting.slice(text.length);
    this.#append(text);
    this.#cut();
    this.#scroll();
  }

  #append(text: string): void {
    const [first, ...others] = text.split(/\n{2,}/) as [string, ...string[]];
    if (!this.#paragraph) this.#paragraph = this.#open();
    else if (this.#paragraph.length > LONGEST) this.#paragraph = this.#open("joined");
    this.#paragraph.appendData(first);
    for (const other of others) (this.#paragraph = this.#open()).data = other;
    this.#shown += text.length;
  }

  #open(className = ""): Text {
    const paragraph = Object.assign(document.createElement("p"), { className });
    this.#box.append(paragraph);
    return paragraph.appendChild(new Text());
  }

  #cut(): void {
    while (this.#shown > KEPT && this.#box.childElementCount > 1) {
      const first = this.#box.firstElementChild as HTMLElement;
      const { length } = first.textContent;
      this.#shown -= length;
      this.#gone += length;
      first.remove();
    }
    if (this.#gone === 0) return;
    this.#note.hidden = false;
    this.#note.textContent = `Only the end of the story stays on the page; ${count(this.#gone)} earlier characters were removed.`;
  }

  #scroll(): void {
    if (this.#follows) this.#box.scrollTop = this.#box.scrollHeight;
  }
}

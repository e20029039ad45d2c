import { ModelError, mismatch, show } from "../base/errors.ts";

/** The kinds of SentencePiece models, by their number in the file. */
const KINDS = ["none", "Unigram", "BPE", "word", "character"] as const;
/** The longest piece that SentencePiece's own trainer can produce, in characters. */
const LONGEST_PIECE = 512;

/** One token of a SentencePiece model; its id is its index. */
export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: PieceType;
}

/** The kinds of pieces, by their number in the file. */
export const PieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
type PieceType = (typeof PieceType)[keyof typeof PieceType];

/** The parts of a tokenizer.model that concern tokenizing. */
export interface SentencePiece {
  readonly pieces: readonly Piece[];
  readonly byteFallback: boolean;
  /** Tokens by role; only those that exist. */
  readonly named: Readonly<Record<string, string>>;
  readonly unknown: string;
  /** Tables of replacements that are applied before anything else. */
  readonly charsmap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

/**
 * Reads a tokenizer.model, which is a ModelProto of SentencePiece in protobuf's binary form.
 * @throws ModelError for other bytes, and by name for any kind but BPE
 */
export function readSentencePiece(bytes: Uint8Array, name: string): SentencePiece {
  const model = new Message(bytes, name);
  const messages = model.messages(1);
  if (messages.length === 0) throw new ModelError(mismatch(name, "a SentencePiece model", "one without pieces"));
  const trainer = model.message(2);
  const kind = trainer.integer(3, 1);
  if (KINDS[kind] !== "BPE") {
    throw new ModelError(mismatch(`${name}: model_type`, "BPE", KINDS[kind] ?? kind));
  }
  const pieces = messages.map((piece, id): Piece => {
    const text = piece.text(1, "");
    const length = text.length > LONGEST_PIECE ? [...text].length : text.length;
    if (length === 0 || length > LONGEST_PIECE) {
      throw new ModelError(mismatch(`${name}: piece ${id}`, `1 to ${LONGEST_PIECE} characters`, length));
    }
    return { text, score: piece.float(2), type: piece.integer(3, PieceType.normal) as PieceType };
  });
  checkPieces(pieces, name);
  const normalizer = model.message(3);
  const roles = [
    ["unk_token", trainer.integer(40, 0), trainer.text(45, "<unk>")],
    ["bos_token", trainer.integer(41, 1), trainer.text(46, "<s>")],
    ["eos_token", trainer.integer(42, 2), trainer.text(47, "</s>")],
  ] as const;
  return {
    pieces,
    byteFallback: trainer.integer(35, 0) !== 0,
    named: Object.fromEntries(roles.filter(([, id]) => id >= 0).map(([role, , text]) => [role, text])),
    unknown: trainer.text(45, "<unk>"),
    charsmap: normalizer.bytes(2),
    addDummyPrefix: normalizer.integer(3, 1) !== 0,
    removeExtraWhitespaces: normalizer.integer(4, 1) !== 0,
    escapeWhitespaces: normalizer.integer(5, 1) !== 0,
  };
}

function checkPieces(pieces: readonly Piece[], name: string): void {
  const ids = new Map<string, number>();
  for (const [id, { text, score }] of pieces.entries()) {
    const other = ids.get(text);
    const found = `${show(JSON.stringify(text))}, which is piece ${other} too`;
    if (other !== undefined) throw new ModelError(mismatch(`${name}: piece ${id}`, "another text", found));
    if (!Number.isFinite(score))
      throw new ModelError(mismatch(`${name}: piece ${id}: score`, "a finite number", score));
    ids.set(text, id);
  }
}

/** A protobuf message: its fields by number; the last one counts where only one is expected. */
class Message {
  readonly #name: string;
  readonly #fields = new Map<number, (number | Uint8Array)[]>();

  constructor(bytes: Uint8Array, name: string) {
    this.#name = name;
    const reader = new Reader(bytes, name);
    while (!reader.done) {
      const tag = reader.varint();
      const value = reader.value(tag & 7);
      const values = this.#fields.get(tag >>> 3);
      if (values) values.push(value);
      else this.#fields.set(tag >>> 3, [value]);
    }
  }

  /** An integer of 32 bits; booleans are 0 and 1. */
  integer(field: number, fallback: number): number {
    const value = this.#fields.get(field)?.at(-1) ?? fallback;
    return typeof value === "number" ? value : this.#fail(field, "a number");
  }

  float(field: number): number {
    const value = this.#fields.get(field)?.at(-1) ?? 0;
    if (value === 0) return 0;
    if (typeof value === "number" || value.length !== 4) return this.#fail(field, "a float");
    return new DataView(value.buffer, value.byteOffset, 4).getFloat32(0, true);
  }

  bytes(field: number): Uint8Array {
    const value = this.#fields.get(field)?.at(-1) ?? new Uint8Array(0);
    return typeof value === "number" ? this.#fail(field, "bytes") : value;
  }

  text(field: number, fallback: string): string {
    if (!this.#fields.has(field)) return fallback;
    const bytes = this.bytes(field);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.#fail(field, "UTF-8 text");
    }
  }

  message(field: number): Message {
    return new Message(this.bytes(field), this.#name);
  }

  messages(field: number): Message[] {
    return (this.#fields.get(field) ?? []).map((value) =>
      typeof value === "number" ? this.#fail(field, "a message") : new Message(value, this.#name),
    );
  }

  #fail(field: number, expected: string): never {
    throw new ModelError(mismatch(`${this.#name}: protobuf field ${field}`, expected, "something else"));
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  #at = 0;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The low 32 bits of a number, signed, which is all that these files need. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? this.#fail();
      if (shift < 32) value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    return this.#fail();
  }

  /** A value of the wire type: a number, or the bytes of any other. */
  value(type: number): number | Uint8Array {
    switch (type) {
      case 0:
        return this.varint();
      case 1:
        return this.#take(8);
      case 2:
        return this.#take(this.varint());
      case 5:
        return this.#take(4);
      default:
        return this.#fail();
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) this.#fail();
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  #fail(): never {
    throw new ModelError(mismatch(this.#name, "a SentencePiece model", `other bytes (at ${this.#at})`));
  }
}

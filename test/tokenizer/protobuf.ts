/** Protobuf's binary form, as far as a tokenizer.model has it: for tests that need one of their own. */
export type Fields = readonly (readonly [field: number, value: number | string | Float | Fields | Uint8Array])[];

/** A number that is written as a float of 32 bits. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export function protobuf(fields: Fields): Uint8Array<ArrayBuffer> {
  const bytes = fields.flatMap(([field, value]): number[] => {
    if (typeof value === "number") return [...varint(field << 3), ...varint(value)];
    if (value instanceof Float) {
      return [...varint((field << 3) | 5), ...new Uint8Array(new Float32Array([value.value]).buffer)];
    }
    const inner =
      typeof value === "string"
        ? new TextEncoder().encode(value)
        : value instanceof Uint8Array
          ? value
          : protobuf(value);
    return [...varint((field << 3) | 2), ...varint(inner.length), ...inner];
  });
  return new Uint8Array(bytes);
}

/** Negative numbers are written as of 64 bits. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

/** A SentencePiece model of these pieces: their scores go down, and the first three are <unk>, <s> and </s>. */
export function sentencePiece(texts: readonly string[], trainer: Fields = [[3, 2]], normalizer: Fields = []) {
  const special: Fields[] = [["<unk>", 2] as const, ["<s>", 3] as const, ["</s>", 3] as const].map(([text, type]) => [
    [1, text],
    [2, new Float(0)],
    [3, type],
  ]);
  const normal = texts.map(
    (text, i): Fields => [
      [1, text],
      [2, new Float(-i)],
    ],
  );
  return protobuf([...[...special, ...normal].map((piece) => [1, piece] as const), [2, trainer], [3, normalizer]]);
}

/** SentencePiece's table of replacements with one entry, "A" → "a": a Darts array, and texts. */
export function charsmap(): Uint8Array {
  const units = new Uint32Array(0x200);
  units[0] = 0x100 << 10; // the root's children are at 0x100 ^ byte
  units[0x141] = 0x41 | (1 << 8) | (1 << 10); // "A", with a value at 0x141 ^ 1
  units[0x140] = 0x80000000; // the text at 0
  const head = Uint32Array.of(units.byteLength);
  return new Uint8Array([...new Uint8Array(head.buffer), ...new Uint8Array(units.buffer), 0x61, 0]);
}

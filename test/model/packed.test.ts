/** Packed checkpoints that are damaged: each is refused by one line that names the field or the tensor. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { QUANTIZED, type QuantizedDType } from "../../src/base/dtype.ts";
import { Engine } from "../../src/engine/engine.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { quantize } from "../../src/plan/write_packed.ts";
import {
  checkpointOf,
  engineOf,
  firstDifference,
  fixture,
  randomIds,
  type Tensor,
  type Tiny,
  tensorsOf,
} from "../engine/tiny.ts";
import { MemoryFiles, modelError } from "../formats/files.ts";
import { blockBytes, numberPlace, quantizeWeights, readRow, scalePlace } from "../reference/quantized.ts";
import { kernels, logitsOf } from "../setup.ts";

setDefaultTimeout(60_000);

/** Biases and a head of its own; rows of Wqkv that are three weights; a tied table and grouped keys; norms of 1 + w. */
const NAMES = ["gptj", "mpt-bias", "llama-gqa-tied", "gemma3-text"] as const;
const MODEL = "gptj";
const TABLE = "transformer.wte.weight";
const MATRIX = "transformer.h.1.mlp.fc_out.weight"; // [32, 52]: two panels of two blocks
const VECTOR = "transformer.h.0.ln_1.bias";
const FILE = "tiny/model.safetensors";

/** The files that `lambent quantize` writes for a fixture. */
async function filesOf(name: string, dtype: QuantizedDType): Promise<Record<string, Uint8Array>> {
  const files = await quantize(await checkpointOf(fixture(name)), await kernels(), dtype);
  return Object.fromEntries(files.map((file) => [file.name, new Uint8Array(Buffer.concat([...file.parts()]))]));
}

/** The same, to be damaged. */
async function packed(name: string, dtype: QuantizedDType): Promise<Tiny> {
  const files = await filesOf(name, dtype);
  return {
    config: JSON.parse(Buffer.from(files["config.json"] as Uint8Array).toString()),
    tensors: tensorsOf(files["model.safetensors"] as Uint8Array),
  };
}

/** What loading it says. */
async function refusal(dtype: QuantizedDType, change: (tiny: Tiny) => void): Promise<string> {
  const tiny = await packed(MODEL, dtype);
  change(tiny);
  return modelError(() => engineOf(tiny));
}

const tensorOf = ({ tensors }: Tiny, name: string) => tensors.get(name) as Tensor;
const replace = (tiny: Tiny, name: string, change: Partial<Tensor>) =>
  void tiny.tensors.set(name, { ...tensorOf(tiny, name), ...change });

describe.each([...QUANTIZED])("%s", (dtype) => {
  test.each([...NAMES])("%s undamaged: loads, and gives the bits of the original in this format", async (name) => {
    const ids = randomIds(30, 3);
    const wanted = await logitsOf(await engineOf(name, { dtype, nLocal: 16 }), ids);
    const tiny = await packed(name, dtype);
    for (const asked of ["auto", dtype] as const) {
      const engine = await engineOf(tiny, { dtype: asked, nLocal: 16 });
      expect(engine.unused).toEqual([]);
      expect(firstDifference(await logitsOf(engine, ids), wanted)).toBe(-1);
    }
  });

  describe("config.json", () => {
    const found = { quant_method: "lambent", dtype, version: 1 };
    const version = (value: string) => `tiny/config.json: quantization_config.version: expected 1, found ${value}`;
    const format = (value: string) =>
      `tiny/config.json: quantization_config.dtype: expected one of q8, q7, q4, found ${value}`;
    const method = (value: string) => `tiny/config.json: quantization_config: expected no value, found ${value}`;
    const cases: [string, unknown, string][] = [
      ["of version 2", { ...found, version: 2 }, version("2")],
      ["of version 0", { ...found, version: 0 }, version("0")],
      ["of no version", { ...found, version: undefined }, version("nothing")],
      ["of an unknown dtype", { ...found, dtype: "q5" }, format("q5")],
      ["of a dtype that is not quantised", { ...found, dtype: "f32" }, format("f32")],
      ["of no dtype", { ...found, dtype: undefined }, format("nothing")],
      ["of a dtype that is no name", { ...found, dtype: [dtype] }, format(`["${dtype}"]`)],
      ["of another method", { quant_method: "gptq", bits: 4 }, method('{"quant_method":"gptq","bits":4}')],
      ["of a word", "lambent", method("lambent")],
    ];
    test.each(cases)("%s", async (_, config, message) => {
      expect(await refusal(dtype, (tiny) => (tiny.config.quantization_config = config))).toBe(message);
    });

    test("that says nothing of packing", async () => {
      const without = await refusal(dtype, (tiny) => delete tiny.config.quantization_config);
      expect(without).toMatch(/^tiny: transformer\.[\w.]+: expected shape \[\d+,\d+\], found \[\d+,\d+\]$/);
    });

    test("of a checkpoint that is not packed", async () => {
      const { config } = await packed(MODEL, dtype);
      const message = await modelError(() => engineOf({ ...fixture(MODEL), config }));
      expect(message).toMatch(/^tiny: transformer\.[\w.]+: expected shape \[\d+,\d+\], found \[\d+,\d+\]$/);
    });
  });

  describe("a matrix", () => {
    const bytes = 2 * blockBytes(dtype); // of a panel
    const shape = (found: string) => `tiny: ${MATRIX}: expected shape [2,${bytes}], found ${found}`;

    test("a panel or a block short, a panel more, turned, or in one stretch", async () => {
      const cut = (panels: number, size: number) => (tiny: Tiny) => {
        const old = tensorOf(tiny, MATRIX).bytes;
        const resized = new Uint8Array(panels * size);
        resized.set(old.subarray(0, resized.length));
        replace(tiny, MATRIX, { shape: [panels, size], bytes: resized });
      };
      const turned =
        (...shape: number[]) =>
        (tiny: Tiny) =>
          replace(tiny, MATRIX, { shape });
      expect(await refusal(dtype, cut(1, bytes))).toBe(shape(`[1,${bytes}]`));
      expect(await refusal(dtype, cut(0, bytes))).toBe(shape(`[0,${bytes}]`));
      expect(await refusal(dtype, cut(2, bytes / 2))).toBe(shape(`[2,${bytes / 2}]`));
      expect(await refusal(dtype, cut(3, bytes))).toBe(shape(`[3,${bytes}]`));
      expect(await refusal(dtype, turned(bytes, 2))).toBe(shape(`[${bytes},2]`));
      expect(await refusal(dtype, turned(2 * bytes))).toBe(shape(`[${2 * bytes}]`));
    });

    test("of the right shape but of another type", async () => {
      const wanted = dtype === "q8" ? "I8" : "U8";
      for (const type of [dtype === "q8" ? "U8" : "I8", "BOOL", "F8_E4M3"]) {
        const message = await refusal(dtype, (tiny) => replace(tiny, MATRIX, { dtype: type }));
        expect(message).toBe(`tiny: ${MATRIX}: expected a type of ${wanted}, found ${type}`);
      }
      const wide = (tiny: Tiny) =>
        replace(tiny, MATRIX, { dtype: "F32", bytes: Buffer.concat(new Array(4).fill(tensorOf(tiny, MATRIX).bytes)) });
      expect(await refusal(dtype, wide)).toBe(`tiny: ${MATRIX}: expected a type of ${wanted}, found F32`);
    });

    test("that is missing", async () => {
      for (const name of [MATRIX, TABLE, "lm_head.weight"]) {
        const message = await refusal(dtype, (tiny) => tiny.tensors.delete(name));
        expect(message).toBe(`tiny: expected a tensor ${name}, found none`);
      }
    });

    /** Row and column of a matrix [32, 52]: its corners, and some between them. */
    const places = [
      [0, 0],
      [31, 51],
      [5, 31],
      [18, 32],
      [12, 40],
    ] as const;
    const block = (row: number, column: number) => Math.floor(row / 16) * 2 + Math.floor(column / 32);
    const refused = (row: number, column: number) =>
      `${FILE}: ${MATRIX}: expected numbers of ${dtype}, found others in block ${block(row, column)}`;

    test("with a scale that is not finite", async () => {
      for (const bits of [0x7fc0, 0xffc1, 0x7f80, 0xff80]) {
        for (const [row, column] of places) {
          const message = await refusal(dtype, (tiny) => {
            const at = scalePlace(row, column >> 5, 52, dtype);
            new DataView(tensorOf(tiny, MATRIX).bytes.buffer).setUint16(at, bits, true);
          });
          expect(message).toBe(refused(row, column));
        }
      }
    });

    test("with the largest finite scale loads, and what overflows is refused where it is computed", async () => {
      const tiny = await packed(MODEL, dtype);
      const at = scalePlace(0, 0, 52, dtype);
      new DataView(tensorOf(tiny, MATRIX).bytes.buffer).setUint16(at, 0x7f7f, true);
      const message = await modelError(async () => logitsOf(await engineOf(tiny), [1, 2, 3]));
      expect(message).toMatch(/^logits at position 0: expected finite numbers, found (NaN|-?Infinity) for token \d+$/);
    });

    test("with any byte in a number's place: q7 refuses those from 128 on, the others are numbers", async () => {
      for (const [row, column] of places) {
        for (const byte of [0, 1, 127, 128, 200, 255]) {
          const tiny = await packed(MODEL, dtype);
          tensorOf(tiny, MATRIX).bytes[numberPlace(row, column, 52, dtype).at] = byte;
          if (dtype === "q7" && byte >= 128) expect(await modelError(() => engineOf(tiny))).toBe(refused(row, column));
          else
            for (const logits of await logitsOf(await engineOf(tiny), [1]))
              expect(logits.every(Number.isFinite)).toBe(true);
        }
      }
    });
  });

  describe("a vector", () => {
    test("that is not F32", async () => {
      for (const type of ["F16", "BF16"]) {
        const change = (tiny: Tiny) => replace(tiny, VECTOR, { dtype: type, bytes: new Uint8Array(64) });
        expect(await refusal(dtype, change)).toBe(`tiny: ${VECTOR}: expected a type of F32, found ${type}`);
      }
      const change = (tiny: Tiny) => replace(tiny, VECTOR, { dtype: "U8", bytes: new Uint8Array(32) });
      expect(await refusal(dtype, change)).toBe(`tiny: ${VECTOR}: expected a type of F32, found U8`);
    });

    test("of another length", async () => {
      const change = (tiny: Tiny) => replace(tiny, VECTOR, { shape: [31], bytes: new Uint8Array(124) });
      expect(await refusal(dtype, change)).toBe(`tiny: ${VECTOR}: expected shape [32], found [31]`);
    });

    test("with a number that is not finite", async () => {
      const change = (tiny: Tiny) => new DataView(tensorOf(tiny, VECTOR).bytes.buffer).setFloat32(4 * 9, NaN, true);
      expect(await refusal(dtype, change)).toBe(`${FILE}: ${VECTOR}[9]: expected a finite number, found NaN`);
    });
  });

  test("a file that is cut anywhere, or longer", async () => {
    const files = await filesOf(MODEL, dtype);
    const whole = files["model.safetensors"] as Uint8Array;
    const load = async (bytes: Uint8Array) => {
      const checkpoint = await openDirectory(new MemoryFiles({ ...files, "model.safetensors": bytes }));
      return Engine.load(checkpoint, await kernels());
    };
    await load(whole);
    for (const length of [0, 7, 8, 500, whole.length >> 1, whole.length - 544, whole.length - 1, whole.length + 1]) {
      const bytes = new Uint8Array(length);
      bytes.set(whole.subarray(0, length));
      expect(await modelError(() => load(bytes))).toMatch(/^dir\/model\.safetensors: expected .*bytes.*, found \d+$/);
    }
  });

  test("a file that ends while it is read", async () => {
    const tiny = await packed(MODEL, dtype);
    const checkpoint = await checkpointOf(tiny);
    const last = [...checkpoint.tensors.values()].at(-1);
    if (last) Object.assign(last, { begin: last.begin + 1, end: last.end + 1 });
    const message = await modelError(async () => Engine.load(checkpoint, await kernels()));
    expect(message).toMatch(/^tiny\/model\.safetensors: expected at least \d+ bytes, found \d+$/);
  });
});

test.each([...QUANTIZED])(
  "the numbers of a %s matrix lie in the file as defined, with zeros behind its end",
  async (dtype) => {
    const { bytes } = tensorOf(await packed(MODEL, dtype), MATRIX);
    const stored = tensorOf(fixture(MODEL), MATRIX).bytes.slice().buffer;
    for (let row = 0; row < 32; row++) {
      const wanted = quantizeWeights(new Float32Array(stored, 4 * 52 * row, 52), dtype);
      expect(readRow(bytes, row, 52, dtype)).toEqual(wanted);
      expect(wanted.numbers.subarray(52).some((number) => number !== 0)).toBe(false);
    }
  },
);

/** Gemma's configs and checkpoints: text_config with class defaults, names of tensors, what belongs to vision. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { programOf } from "../../src/models/index.ts";
import { attentionOf, type Program, windowsOf } from "../../src/models/program.ts";
import { engineOf, firstDifference, fixture, randomIds, type Tiny } from "../engine/tiny.ts";
import { modelError } from "../formats/files.ts";
import { FIXTURES, logitsOf } from "../setup.ts";

type Config = Record<string, unknown>;
const read = (file: string) => JSON.parse(readFileSync(join(FIXTURES, file), "utf8"));
const published: Record<string, Config> = read("real-configs.json");
const defaults: Record<string, Config> = read("configs.json").defaults;
const program = (config: Config) => programOf(config, "config.json");

/** Everything that a program computes. */
function hashOf({ withoutEffect: _, otherTensors: __, modelType: ___, ...rest }: Program): string {
  return Bun.hash(JSON.stringify({ ...rest, weights: [...rest.weights] })).toString(16);
}

/** Frequencies of a layer's first pairs, as periods. */
function thetaOf(program: Program, layer: number): number {
  const positions = attentionOf(program, layer)?.positions;
  const [first = 0, second = 0] = positions?.kind === "rope" ? positions.inverseFrequencies : [];
  const pairs = positions?.kind === "rope" ? positions.inverseFrequencies.length : 0;
  return (first / second) ** pairs;
}

describe("Gemma 3", () => {
  test("270M: windows, bases of RoPE, scale, shape", () => {
    const model = program(published["google/gemma-3-270m"] as Config);
    const windows = windowsOf(model);
    expect(windows.flatMap((window, i) => (window === undefined ? [i] : []))).toEqual([5, 11, 17]);
    expect(windows[0]).toBe(512);
    expect([thetaOf(model, 0), thetaOf(model, 5)].map(Math.round)).toEqual([10_000, 1_000_000]);
    expect(attentionOf(model, 0)?.shape).toMatchObject({ heads: 4, kvHeads: 1, headDim: 256, scale: 1 / 16 });
    expect(model.trainedLength).toBe(32768);
    expect(model.embed[1]).toEqual({ op: "scale", y: "hidden", a: "hidden", factor: Math.sqrt(640) });
    for (const weight of model.weights.values()) {
      expect([weight.name, weight.added ?? 0]).toEqual([weight.name, weight.shape.length === 1 ? 1 : 0]);
    }
  });

  test("a sparse text_config has the class's defaults", () => {
    const sparse = { model_type: "gemma3", text_config: { num_hidden_layers: 3 } };
    const full = { ...defaults.gemma3_text, num_hidden_layers: 3, layer_types: null };
    expect(hashOf(program(sparse))).toBe(hashOf(program(full)));
    expect(hashOf(program({ model_type: "gemma3" }))).toBe(hashOf(program(defaults.gemma3_text as Config)));
    expect(hashOf(program({ model_type: "gemma3_text" }))).toBe(hashOf(program(defaults.gemma3_text as Config)));
    expect(program(sparse).modelType).toBe("gemma3");
  });

  test("linear scaling is of the global layers", () => {
    const model = program(published["google/gemma-3-4b-it"] as Config);
    const frequency = (layer: number) => {
      const positions = attentionOf(model, layer)?.positions;
      return positions?.kind === "rope" ? positions.inverseFrequencies[0] : undefined;
    };
    expect([frequency(0), frequency(5)]).toEqual([1, 1 / 8]);
    expect(windowsOf(model)[0]).toBe(1024);
  });

  test("transformers 4 and 5 spell the same", () => {
    const [now, before] = ["config.json", "config.legacy.json"].map((file) => read(`gemma3-text/${file}`));
    expect(hashOf(program(before))).toBe(hashOf(program(now)));
    for (const key of ["rope_local_base_freq", "rope_theta", "rope_scaling", "sliding_window_pattern"]) {
      expect([key, hashOf(program({ ...before, [key]: null }))]).not.toEqual([key, hashOf(program(now))]);
    }
  });

  test("errors of text_config name it; what is of vision has no effect, and is told", () => {
    const config = fixture("gemma3").config;
    const text = config.text_config as Config;
    const refused = (changes: Config) => () => program({ ...config, text_config: { ...text, ...changes } });
    expect(refused({ hidden_activation: "relu" })).toThrow(
      'config.json: text_config: hidden_activation: expected "gelu_pytorch_tanh", found relu',
    );
    expect(refused({ use_bidirectional_attention: true })).toThrow("use_bidirectional_attention: expected false");
    expect(() => program({ ...config, text_config: 1 })).toThrow(
      "config.json: text_config: expected an object, found 1",
    );
    expect(() => program({ ...config, quantization_config: { bits: 4 } })).toThrow("quantization_config: expected no");
    const { withoutEffect } = program({ ...config, text_config: { ...text, hidden_act: "gelu" } });
    expect(withoutEffect).toEqual(expect.arrayContaining(["vision_config", "text_config.hidden_act"]));
  });

  const names: Record<string, (tensor: string) => string> = {
    "as on the hub": (tensor) => tensor,
    "as transformers 5 has them in memory": (tensor) =>
      tensor.replace(/^language_model\.model\./, "model.language_model.").replace(/^(vision|multi)/, "model.$1"),
    "without any prefix": (tensor) => tensor.replace(/^language_model\.(model\.)?/, ""),
  };
  test.each(Object.entries(names))("tensors %s: the same logits, none unused", async (_, rename) => {
    const { config, tensors } = fixture("gemma3");
    const renamed: Tiny = { config, tensors: new Map([...tensors].map(([name, tensor]) => [rename(name), tensor])) };
    const [found, wanted] = [await engineOf(renamed), await engineOf("gemma3")];
    expect(found.unused).toEqual([]);
    expect(firstDifference(await logitsOf(found, randomIds(20, 1)), await logitsOf(wanted, randomIds(20, 1)))).toBe(-1);
  });

  test("tensors that are of no known part are told, and a missing one is refused", async () => {
    const { config, tensors } = fixture("gemma3");
    const norm = tensors.get("language_model.model.norm.weight")!;
    const engine = await engineOf({ config, tensors: new Map(tensors).set("audio_tower.norm.weight", norm) });
    expect(engine.unused).toEqual(["audio_tower.norm.weight"]);
    tensors.delete("language_model.model.norm.weight");
    expect(await modelError(() => engineOf({ config, tensors }))).toContain("expected a tensor model.norm.weight");
  });
});

test("Gemma 2: caps and the windows of every second layer, from the first on", () => {
  const model = program(published["google/gemma-2-2b"] as Config);
  expect(windowsOf(model).slice(0, 3)).toEqual([4096, undefined, 4096]);
  expect(attentionOf(model, 1)?.shape.softCap).toBe(50);
  expect(model.head.at(-1)).toEqual({ op: "softCap", y: "logits", a: "logits", factor: 30 });
  const none = program({
    ...published["google/gemma-2-2b"],
    attn_logit_softcapping: null,
    final_logit_softcapping: null,
  });
  expect(attentionOf(none, 1)?.shape.softCap).toBeUndefined();
  expect(none.head.at(-1)?.op).toBe("matmul");
});

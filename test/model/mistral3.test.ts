/** Mistral 3: a text model in text_config, of which images are not read. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { programOf } from "../../src/models/index.ts";
import { attentionOf } from "../../src/models/program.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { checkpointOf, fixture } from "../engine/tiny.ts";
import { FIXTURES } from "../setup.ts";

type Config = Record<string, unknown>;
const { defaults, widespread } = JSON.parse(readFileSync(join(FIXTURES, "configs.json"), "utf8"));
const { model_type, ...inText } = defaults.mistral as Config;

test("the text part may be a Mistral or a Ministral 3; nothing else", () => {
  const program = (text_config: Config) => programOf({ ...defaults.mistral3, text_config }, "config.json");
  const plain = program({ ...inText, model_type });
  expect([plain.modelType, attentionOf(plain, 0)?.window]).toEqual(["mistral3", 4096]);
  // transformers' default
  expect(program(inText)).toEqual(plain);
  const { positions } = attentionOf(program(defaults.ministral3), 0) as NonNullable<ReturnType<typeof attentionOf>>;
  expect(positions).toMatchObject({ kind: "rope", factor: 1, temperature: { beta: 0.1, original: 16384 } });
  expect(() => program({ ...inText, model_type: "llama" })).toThrow(
    'config.json: text_config: model_type: expected "mistral" or "ministral3", found llama',
  );
});

test("keys of the whole are known, the text's are told with their path", () => {
  const { text_config: _, ...keys } = widespread.mistral3;
  const config = { ...defaults.mistral3, ...keys, text_config: { ...inText, dropout: 0.1 } };
  const { withoutEffect } = programOf(config, "config.json");
  expect(withoutEffect).toEqual(expect.arrayContaining(["vision_config", "spatial_merge_size", "text_config.dropout"]));
});

test("tensors of the vision tower and of the projector are not missed as unused", async () => {
  const tiny = fixture("mistral3");
  const others = [...tiny.tensors.keys()].filter((name) => /vision_tower|multi_modal_projector/.test(name));
  expect(others.length).toBeGreaterThan(5);
  expect(planModel(await checkpointOf(tiny), {}).unused).toEqual([]);
  const stray = new Map(tiny.tensors).set("language_model.model.stray", tiny.tensors.values().next().value as never);
  expect(planModel(await checkpointOf({ ...tiny, tensors: stray }), {}).unused).toEqual(["language_model.model.stray"]);
});

/** An adapter by its Hugging Face id: two files, in Python's cache. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "../../src/entry/index.ts";
import { ADAPTER_FILES } from "../../src/formats/adapter.ts";
import { FIXTURES, ROOT } from "../setup.ts";
import { bytes, Setup, SHA } from "./hub-setup.ts";

const ADAPTER = join(ROOT, "test/golden/adapters/llama-all");
let s: Setup;
beforeEach(async () => {
  s = await new Setup().start();
  const files = await Promise.all(
    ADAPTER_FILES.map(async (name) => [name, new Uint8Array(await readFile(join(ADAPTER, name)))]),
  );
  s.hub.repos["org/name"] = {
    sha: SHA,
    files: { ...Object.fromEntries(files), "README.md": bytes(50), "optimizer.pt": bytes(999) },
  };
});
afterEach(() => s.stop());

test("its files alone are fetched, once, and found again without a network", async () => {
  expect(await s.download({ only: ADAPTER_FILES })).toBe(s.path("snapshots", SHA));
  expect(readdirSync(s.path("snapshots", SHA)).sort()).toEqual([...ADAPTER_FILES]);
  s.hub.requests();
  expect(await s.download({ only: ADAPTER_FILES, revision: SHA })).toBe(s.path("snapshots", SHA));
  expect(s.hub.requests()).toEqual([]);
  expect(await s.download({ only: ADAPTER_FILES, offline: true })).toBe(s.path("snapshots", SHA));
  expect(await s.failure()).toMatch(/config\.json/);
});

test("one that is missing is named", async () => {
  delete s.hub.repos["org/name"]?.files["adapter_model.safetensors"];
  expect(await s.failure({ only: ADAPTER_FILES })).toContain(
    "org/name: expected adapter_model.safetensors, found none",
  );
  expect(await s.failure({ only: ADAPTER_FILES, offline: true })).toContain(
    "adapter_config.json in the cache, being offline",
  );
});

test("load takes the id", async () => {
  process.env.HF_ENDPOINT = s.hub.endpoint;
  const options = { temperature: 0, maxNewTokens: 4 };
  const hashOf = async (path: string) => {
    using model = await load(join(FIXTURES, "llama-gqa-tied"), { lora: [{ path }], cacheDir: s.cache, threads: 1 });
    return (await model.generate([5, 6], options).result).logitsHash;
  };
  expect(await hashOf("org/name")).toBe(await hashOf(ADAPTER));
});

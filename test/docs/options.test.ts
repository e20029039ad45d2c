/** docs/OPTIONS.md against the code: every option in the table of its type, and the defaults that are constants. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { resolvePolicy } from "../../src/plan/policy.ts";
import { inspect } from "../../src/session/load.ts";
import { resolveSettings } from "../../src/session/settings.ts";
import { MODELS, ROOT } from "../setup.ts";
import { withExports } from "./exports.ts";

/** The tables of the page: the file of each type, and the types that it extends, which have tables of their own. */
const TABLES: Readonly<Record<string, readonly [file: string, ...extended: string[]]>> = {
  LoadOptions: ["src/session/load.ts", "PlanningOptions", "PolicyOptions", "EngineOptions"],
  LoraOptions: ["src/session/load.ts"],
  PlanningOptions: ["src/plan/plan_checkpoint.ts", "PolicyOptions"],
  PolicyOptions: ["src/plan/policy.ts"],
  EngineOptions: ["src/session/engine_info.ts"],
  UrlOptions: ["src/sources/url.ts"],
  ChoosingOptions: ["src/session/generate_options.ts"],
  GenerateOptions: ["src/session/generate_options.ts", "ChoosingOptions", "ChatOptions"],
  OpenOptions: ["src/service/types.ts"],
  StartOptions: ["src/service/types.ts", "OpenOptions"],
  EmbedOptions: ["src/service/types.ts", "OpenOptions"],
  AppendOptions: ["src/session/append_options.ts", "ChatOptions"],
  ChatOptions: ["src/tokenizer/chat.ts"],
  ReplyOptions: ["src/session/chat.ts", "GenerateOptions"],
  ChatSettings: ["src/session/chat.ts", "ReplyOptions"],
};

/** A row's cells by the heads of its table's columns. */
type Row = Readonly<Record<string, string>>;

/** The rows of each table that stands below a heading with the name of a type. */
function tables(): Map<string, Row[]> {
  const page = readFileSync(join(ROOT, "docs/OPTIONS.md"), "utf8");
  const sections = page.split(/^### .*?`(\w+)`$/gm).slice(1);
  const found = new Map<string, Row[]>();
  for (let i = 0; i < sections.length; i += 2) {
    const [table = ""] = (sections[i + 1] as string).match(/^\| option .*\n(?:\|.*\n)+/m) ?? [];
    const [heads = [], , ...rows] = table.trim().split("\n").map(cells);
    found.set(
      sections[i] as string,
      rows.map((row) => Object.fromEntries(heads.map((head, column) => [head, row[column] ?? ""]))),
    );
  }
  return found;
}

/** The cells of a line; `\|` is no border. */
const cells = (line: string) =>
  line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());

const nameOf = (row: Row) => row.option?.replaceAll("`", "") as string;

test("every option stands in the table of its type, once, and nothing else does", async () => {
  const page = tables();
  await withExports(async (code) => {
    const properties = new Map<string, string[]>();
    for (const [type, [file]] of Object.entries(TABLES)) properties.set(type, await code.propertiesOf(file, type));
    for (const [type, [, ...extended]] of Object.entries(TABLES)) {
      const inherited = extended.flatMap((name) => properties.get(name) as string[]);
      const own = properties.get(type)?.filter((name) => !inherited.includes(name));
      expect([type, page.get(type)?.map(nameOf).sort()]).toEqual([type, own?.sort()]);
    }
    const exported = [...(await code.exportsOf("src/entry/api.ts")).keys()].filter((name) => name.endsWith("Options"));
    expect(exported.filter((name) => !TABLES[name])).toEqual([]);
  });
  expect([...page.keys()].sort()).toEqual(Object.keys(TABLES).sort());
});

test("defaults are those of the code", async () => {
  const { plan, program } = await inspect(join(MODELS, "lambent-llama-5m"));
  const policy = resolvePolicy({}, 2 ** 20);
  const sinks = resolvePolicy({ attention: "sinks" }, 2 ** 20);
  const middle = resolvePolicy({ recall: 1 }, program.trainedLength);
  const { doSample, topK, topP, minP, ...choosing } = resolveSettings({}, {}, {});
  const sampling = resolveSettings({ doSample: true }, {}, {});
  const { maxNewTokens, repetitionPenalty, noRepeatNgramSize = 0 } = choosing;
  const defaults = {
    PlanningOptions: {
      cacheDtype: `"${plan.options.cacheDtype}"`,
      chunkSize: plan.options.chunkSize,
      maxSessions: plan.options.maxSessions,
      bankBytes: plan.options.bankBytes,
    },
    PolicyOptions: {
      attention: `"${policy.attention}"`,
      nGlobal: [policy.nGlobal, sinks.nGlobal],
      nLocal: policy.nLocal,
      recall: policy.recall,
      recallTokens: middle.recallTokens / program.trainedLength,
      recallBlocks: middle.recallBlocks,
      recallQueries: `"${middle.recallQueries}"`,
    },
    ChoosingOptions: {
      doSample,
      temperature: sampling.temperature,
      topK: [topK, sampling.topK],
      topP: [topP, sampling.topP],
      minP: [minP, sampling.minP],
      repetitionPenalty,
      noRepeatNgramSize,
    },
    GenerateOptions: { maxNewTokens },
  };
  expect(sinks.nLocal).toBe(policy.nLocal - 4);
  const page = tables();
  for (const [type, values] of Object.entries(defaults)) {
    for (const [option, value] of Object.entries(values)) {
      const row = page.get(type)?.find((row) => nameOf(row) === option);
      const stated = [...(row?.default ?? "").matchAll(/`([^`]*)`/g)].map(([, text]) => text);
      const expected = [...new Set([value].flat())].map(String);
      expect([type, option, stated.slice(0, expected.length)]).toEqual([type, option, expected]);
    }
  }
});

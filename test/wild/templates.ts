/**
 * Public chat templates, of packages that PyPI has, with chats of ours: every rendering against transformers'.
 *
 *     bun test/wild/templates.ts [NAME]    only the templates whose name has that in it, with each difference in full
 *     bun test/wild/templates.ts --write   templates of ours instead, and their renderings written for test/tokenizer
 */
import { join } from "node:path";
import { renderChat } from "../../src/tokenizer/chat.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { TEMPLATES } from "../tokenizer/chat_templates.ts";
import { llamaJson } from "../tokenizer/files.ts";
import { CHATS, pythonOptions } from "./chats.ts";
import { python } from "./python.ts";

interface Rendering {
  readonly text?: string;
  readonly error?: string;
}

const FOLDER = join(import.meta.dir, "../../build/wild-templates");
const [wanted = ""] = process.argv.slice(2);

const GOLDEN = join(import.meta.dir, "../golden/fixtures/chats.json");
const write = wanted === "--write";

const all: Readonly<Record<string, string>> = write ? TEMPLATES : JSON.parse(python("templates.py", ["fetch", FOLDER]));
const templates = write ? all : Object.fromEntries(Object.entries(all).filter(([name]) => name.includes(wanted)));
const cases = Object.keys(templates).flatMap((template) => CHATS.map((chat) => ({ template, chat })));
const work = cases.map(({ template, chat }) => ({
  template,
  messages: chat.messages,
  options: pythonOptions(chat.options),
}));
const references: Rendering[] = JSON.parse(
  python("templates.py", ["render"], JSON.stringify({ templates, cases: work })),
);

if (write) await Bun.write(GOLDEN, `${JSON.stringify(references, null, 1)}\n`);

const tokenizer = new Tokenizer(llamaJson(), { bos_token: "<s>", eos_token: "</s>" }, "wild");

function ours(template: string, chat: (typeof CHATS)[number]): Rendering {
  try {
    return { text: renderChat(tokenizer, chat.messages, { ...chat.options, chatTemplate: template }) };
  } catch (error) {
    return { error: String(error) };
  }
}

const counts = {
  equal: 0,
  "refused by both": 0,
  "refused by us alone": 0,
  "refused by transformers alone": 0,
  different: 0,
};
for (const [i, { template, chat }] of cases.entries()) {
  const [found, expected] = [ours(templates[template]!, chat), references[i]!];
  let kind: keyof typeof counts = "different";
  if (found.text === undefined) kind = expected.text === undefined ? "refused by both" : "refused by us alone";
  else if (expected.text === undefined) kind = "refused by transformers alone";
  else if (found.text === expected.text) kind = "equal";
  counts[kind]++;
  if (kind === "equal" || kind === "refused by both") continue;
  const most = wanted ? 1e6 : 300;
  console.log(`${template} × ${chat.name}: ${kind}`);
  console.log(`  expected ${JSON.stringify(expected.text ?? expected.error).slice(0, most)}`);
  console.log(`  found    ${JSON.stringify(found.text ?? found.error).slice(0, most)}`);
}
console.log(`${Object.keys(templates).length} templates × ${CHATS.length} chats: ${JSON.stringify(counts)}`);
process.exit(counts.equal + counts["refused by both"] === cases.length ? 0 : 1);

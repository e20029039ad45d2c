/**
 * Templates of ours against Jinja2 as transformers configures it: those that use every construct, and generated ones.
 *
 *     bun test/wild/jinja.ts [SEED [COUNT]]
 *     bun test/wild/jinja.ts --write       the first kind's renderings, for test/jinja
 */
import { join } from "node:path";
import { CONSTRUCTS, VARIABLES } from "../jinja/constructs.ts";
import { type Rendering, render } from "../jinja/render.ts";
import { generate } from "./jinja_generate.ts";
import { python } from "./python.ts";

const GOLDEN = join(import.meta.dir, "../golden/fixtures/jinja.json");

/** JSON with bigints as numbers, which Python reads whole. */
function json(value: unknown): string {
  const text = JSON.stringify(value, (_, item) => (typeof item === "bigint" ? `bigint:${item}` : item));
  return text.replace(/"bigint:(\d+)"/g, "$1");
}

const [first = "1", count = "3000"] = process.argv.slice(2);
const write = first === "--write";
const templates = [...CONSTRUCTS, ...(write ? [] : generate(Number(first), Number(count)))];
const expected: Rendering[] = JSON.parse(python("jinja.py", [], json({ variables: VARIABLES, templates })));
if (write) await Bun.write(GOLDEN, `${JSON.stringify(expected, null, 1)}\n`);

const counts = { equal: 0, "refused by both": 0, "refused by us alone": 0, "refused by Jinja alone": 0, different: 0 };
for (const [i, template] of templates.entries()) {
  const [found, wanted] = [render(template, VARIABLES), expected[i]!];
  let kind: keyof typeof counts = "different";
  if (found.text === undefined) kind = wanted.text === undefined ? "refused by both" : "refused by us alone";
  else if (wanted.text === undefined) kind = "refused by Jinja alone";
  else if (found.text === wanted.text) kind = "equal";
  counts[kind]++;
  if (kind === "equal" || kind === "refused by both") continue;
  console.log(`${JSON.stringify(template)}: ${kind}`);
  console.log(`  expected ${JSON.stringify(wanted.text ?? wanted.error)}`);
  console.log(`  found    ${JSON.stringify(found.text ?? found.error)}`);
}
console.log(`${templates.length} templates: ${JSON.stringify(counts)}`);
process.exit(counts.equal + counts["refused by both"] === templates.length ? 0 : 1);

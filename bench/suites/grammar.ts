import { compileGrammar, type ResponseFormat, TokenTrie } from "../../src/grammar/index.ts";
import { withCheckpoint } from "../../src/session/load.ts";
import { requireTokenizer } from "../../src/session/load_tokenizer.ts";
import { tokenTable } from "../../src/tokenizer/token_table.ts";
import { Report } from "../report.ts";
import { modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

export interface GrammarFlags extends SuiteFlags {
  readonly model: string;
}

const PERSON = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 80 },
    born: { type: "string", format: "date" },
    email: { type: "string", format: "email" },
    tags: { type: "array", items: { enum: ["poet", "painter", "novelist"] }, maxItems: 4 },
    score: { type: "number", minimum: 0, maximum: 100 },
  },
  required: ["name", "born", "tags", "score"],
  additionalProperties: false,
};
const TREE = {
  $defs: {
    node: {
      type: "object",
      properties: { label: { type: "string" }, children: { type: "array", items: { $ref: "#/$defs/node" } } },
      required: ["label", "children"],
    },
  },
  $ref: "#/$defs/node",
};
const LIST = 'root ::= line{3,40}\nline ::= "- " [^\\n]{1,120} "\\n"';

/** Definitions, and texts of each that a model might write. */
const CASES: Readonly<Record<string, readonly [ResponseFormat, readonly string[]]>> = {
  "an object of five members": [
    { type: "json_schema", schema: PERSON },
    [
      '{"name": "Anne Elliot of Kellynch Hall, Somersetshire", "born": "1787-08-09", "email": "anne@kellynch.example", "tags": ["novelist", "poet"], "score": 99.25}',
      '{\n  "name": "Ludwig van Beethoven 🎹 Œuvre complète",\n  "born": "1770-12-16",\n  "tags": [],\n  "score": 7\n}',
    ],
  ],
  "a tree by $ref": [
    { type: "json_schema", schema: TREE },
    [
      '{"label": "root", "children": [{"label": "left \\"quoted\\"", "children": []}, {"label": "right", "children": [{"label": "deep", "children": []}]}]}',
    ],
  ],
  "any object": [
    { type: "json_object" },
    ['{"a": [1, 2.5e3, true, null, {"b": "text with spaces, and commas"}], "longer key": {"x": {"y": {"z": []}}}}'],
  ],
  "a pattern": [
    { type: "regex", pattern: "\\p{Lu}\\p{Ll}+(?: \\p{Lu}\\p{Ll}+){1,3}, \\d{1,3} (?:years|months)" },
    ["Frederick Wentworth Captain, 31 years", "Élodie Àngel, 7 months"],
  ],
  "a list by GBNF": [
    { type: "grammar", grammar: LIST },
    ["- a first line of some length\n- second, with 数字 and 😀\n- third and last\n"],
  ],
};

/** How long a mask takes beside compiling, for a tokenizer: of states met first, and again. */
export async function grammar(flags: GrammarFlags): Promise<void> {
  const report = new Report(`grammar${modelSuffix(flags.model)}`, resultsOf(flags));
  const started = performance.now();
  const { tokenizer, table } = await withCheckpoint(flags.model, {}, async (checkpoint) => {
    const tokenizer = await requireTokenizer(checkpoint);
    return { tokenizer, table: () => tokenTable(tokenizer) };
  });
  const read = performance.now();
  const trie = new TokenTrie(table());
  const made = performance.now() - read;
  report.note(
    `${trie.size} tokens, ${trie.parts.reduce((sum, { all }) => sum + all.nodes, 0)} nodes: tokenizer ${(read - started).toFixed(0)} ms, trie ${made.toFixed(0)} ms`,
  );
  const add = report.table("masks, in microseconds", {
    name: "definition",
    compile: "compile, ms",
    tokens: "masks",
    median: "median",
    p95: "95 %",
    worst: "worst",
    again: "again",
    advance: "advance",
  });
  for (const [name, [definition, texts]] of Object.entries(CASES)) {
    const start = performance.now();
    const grammar = compileGrammar(definition, { trie, stopTokens: [1] });
    const compile = performance.now() - start;
    const tokens = texts.map((text) => tokenizer.encode(text, { addSpecialTokens: false }));
    const first: number[] = [];
    const again: number[] = [];
    const advance: number[] = [];
    for (let round = 0; round < (flags.quick ? 2 : 20); round++) {
      for (const ids of tokens) {
        let state = grammar.start();
        for (const id of ids) {
          const before = performance.now();
          const mask = grammar.mask(state);
          const masked = performance.now();
          (round === 0 ? first : again).push(1000 * (masked - before));
          if (((mask[id >> 5]! >>> (id & 31)) & 1) === 0)
            throw new Error(`${name}: ${tokenizer.token(id)} is not allowed`);
          state = grammar.advance(state, id)!;
          advance.push(1000 * (performance.now() - masked));
        }
        if (!grammar.accepts(state)) throw new Error(`${name}: not complete`);
      }
    }
    const all = [...first, ...again].sort((a, b) => a - b);
    add({
      ...{ name, compile, tokens: first.length, again: median(again), advance: median(advance) },
      ...{ median: median(first), p95: first[Math.floor(0.95 * first.length)], worst: all.at(-1) },
    });
  }
  await report.write();
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1] as number;
}

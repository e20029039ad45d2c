import type { Field } from "./field.ts";
import { MAX_ID } from "./vocabulary.ts";

/** The ids that are added before and after those of a text. */
export interface Frame {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

const KNOWN = ["Sequence", "ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing"] as const;

/**
 * What the `post_processor` of a tokenizer.json does to a single text. `known`: whether a token with that id exists.
 */
export function compilePostProcessor(field: Field, known: (id: number) => boolean): Frame {
  if (!field.present) return { prefix: [], suffix: [] };
  const readId = (id: Field) => {
    const value = id.integer(MAX_ID);
    return known(value) ? value : id.fail("the id of a token");
  };
  switch (field.get("type").oneOf(KNOWN)) {
    case "ByteLevel":
      return { prefix: [], suffix: [] }; // it concerns offsets only
    case "Sequence":
      return field
        .get("processors")
        .array()
        .map((processor) => compilePostProcessor(processor, known))
        .reduce(
          (inner, outer) => ({
            prefix: [...outer.prefix, ...inner.prefix],
            suffix: [...inner.suffix, ...outer.suffix],
          }),
          { prefix: [], suffix: [] },
        );
    case "TemplateProcessing":
      return template(field, readId);
    default: {
      const [cls, sep] = ["cls", "sep"].map((key) =>
        readId(field.get(key).array()[1] ?? field.get(key).fail("a token and its id")),
      );
      return { prefix: [cls!], suffix: [sep!] };
    }
  }
}

function template(field: Field, readId: (id: Field) => number): Frame {
  const single = field.get("single");
  const specials = field.get("special_tokens");
  const prefix: number[] = [];
  const suffix: number[] = [];
  let texts = 0;
  for (const item of single.array()) {
    const special = item.get("SpecialToken");
    if (special.present) {
      const ids = specials.get(special.get("id").string()).get("ids").array().map(readId);
      for (const token of ids) (texts === 0 ? prefix : suffix).push(token);
    } else {
      item.get("Sequence").get("id").oneOf(["A"]);
      texts++;
    }
  }
  if (texts !== 1) single.fail("a template with the text A exactly once");
  return { prefix, suffix };
}

/** Chat templates of several kinds, and the embedded model with one of them, whose stop token is a word that it likes. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { embeddedFolder } from "./small.ts";

/** Ends of answers: by the stop token and a line end, by it behind a space, by text alone. */
export const TEMPLATES = {
  stop: `{% if messages[0].role != 'system' %}<system>Be kind.<|end|>
{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`,
  space: `{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[ {{ m.content }} ]{% else %} {{ m.content }} <|end|>{% endif %}{% endfor %}`,
  text: `{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}`,
};

const WORD = "\u0120he";

/** The embedded model with a template, whose stop token is <|end|>, the id of a word that it likes. */
export function folderOf(template: string): { folder: string; end: number } {
  const folder = embeddedFolder({ bos_token: "<|endoftext|>", chat_template: template });
  const path = join(folder, "tokenizer.json");
  const json = JSON.parse(readFileSync(path, "utf8"));
  const end = json.model.vocab[WORD];
  delete json.model.vocab[WORD];
  json.model.vocab["<|end|>"] = end;
  json.model.merges = json.model.merges.filter(([left, right]: [string, string]) => {
    return ![left, right, left + right].includes(WORD);
  });
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  json.added_tokens.push({ id: end, content: "<|end|>", special: true, ...flags });
  writeReplaced(path, JSON.stringify(json));
  writeReplaced(join(folder, "generation_config.json"), JSON.stringify({ eos_token_id: end }));
  return { folder, end };
}

/** The folder's files are links to those of the model. */
export function writeReplaced(path: string, text: string): void {
  rmSync(path);
  writeFileSync(path, text);
}

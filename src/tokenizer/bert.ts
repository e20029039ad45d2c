import type { Field } from "./field.ts";
import { bertControl, known, lowerCase, nonspacing } from "./unicode.ts";

/** What counts as Chinese: as in the reference, whose sixth range starts 0x100 too late. */
const CHINESE =
  /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

/** The normalizer BertNormalizer. see: tokenizers, normalizers/bert.rs */
export function compileBertNormalizer(field: Field): (text: string) => string {
  const lowercase = field.get("lowercase").flag(true);
  const steps: ((text: string) => string)[] = [];
  if (field.get("clean_text").flag(true)) {
    const control = bertControl();
    steps.push((text) => text.replace(control, "").replace(/\p{White_Space}/gu, " "));
  }
  if (field.get("handle_chinese_chars").flag(true)) steps.push((text) => text.replace(CHINESE, " $& "));
  if (field.get("strip_accents").flag(lowercase)) {
    const [runs, marks] = [known(), nonspacing()];
    steps.push((text) => text.replace(runs, (run) => run.normalize("NFD")).replace(marks, ""));
  }
  if (lowercase) steps.push(lowerCase());
  return (text) => steps.reduce((t, step) => step(t), text);
}

/** True for "org/name" or "name" as the hub spells them. */
export function isModelId(text: string): boolean {
  return /^(?:\w(?:[\w.-]{0,94}\w)?\/)?\w(?:[\w.-]{0,94}\w)?$/.test(text) && !/--|\.\.|\.git$/.test(text);
}

/** The id in the address of a model's page; undefined for any other address. */
export function hubIdOf(url: string): string | undefined {
  return url.match(/^https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\/([^/]+\/[^/]+)\/?$/)?.[1];
}

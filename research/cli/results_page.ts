import { basename } from "node:path";
import type { Claim } from "../eval/claims.ts";
import type { Step } from "./reproduce_steps.ts";

/** A completed step: what its JSON file says, and where it is. */
export interface DoneStep extends Step {
  readonly verdict: string;
  /** Kernels, threads, runtime, versions, formats. */
  readonly facts: Readonly<Record<string, unknown>>;
}

const TITLE = "# Results: the paper's evaluation, on our models";
const INTRODUCTION =
  'The paper: LM-Infinite, arXiv 2308.16137. Its models have 6 to 7 billion parameters and were trained at 2,048 or 4,096 tokens. The embedded ones have about 5 million and were trained at 512, so that 512 → 32,768 is its 2K/4K → 128K. Gemma 3 270M is a model that people use, trained at 32,768 tokens, in which three of 18 layers are global: Λ and all other policies apply to these. NLL is in nats per token; intervals are 95 % bootstrap over documents; "re-truncation" reads every stretch of text anew (window 512 and stride 256, or as the command says; BOS in front), so that no position in a window is beyond the trained length. Figures measured on text that is not part of the project say so by the names of their files.';

/**
 * docs/RESULTS.md: for each model the paper's claims with what was found, then every figure with the command that draws it.
 * Sections of other models in the `old` page stay.
 */
export function resultsPage(
  claims: readonly Claim[],
  steps: readonly DoneStep[],
  command: string,
  old: string | undefined,
): string {
  const models = [...new Set(steps.map(({ model }) => model))];
  const sections = new Map(sectionsOf(old ?? ""));
  for (const model of models) {
    const mine = steps.filter((step) => step.model === model);
    sections.set(basename(model), modelSection(model, claims, mine, command));
  }
  const parts = [...sections].map(([name, text]) => `## ${name}\n\n${text}`);
  return `${[TITLE, INTRODUCTION, ...parts].join("\n\n")}\n`;
}

/** The sections of a page by the models that are their headings. */
function sectionsOf(page: string): [model: string, text: string][] {
  const parts = page.split(/^## /m).slice(1);
  return parts.map((part) => [part.slice(0, part.indexOf("\n")), part.slice(part.indexOf("\n")).trim()]);
}

function modelSection(model: string, claims: readonly Claim[], steps: readonly DoneStep[], command: string): string {
  const own = claims.filter((claim) => claim.model === model);
  const facts = steps.find(({ facts }) => facts.kernels)?.facts ?? {};
  const agreeing = own.filter(({ agrees }) => agrees).length;
  return [
    `Written by \`${command}\` (lambent ${facts.lambent}, ${facts.runtime}). ${agreeing} of ${own.length} claims agree.`,
    "",
    "| where | the paper | ours | agrees | if not, why |",
    "| --- | --- | --- | --- | --- |",
    ...own.map(row),
    "",
    ...steps.flatMap((step) => section(step)),
  ]
    .join("\n")
    .trim();
}

function row({ where, paper, found, agrees, why }: Claim): string {
  return `| ${[where, paper, found, agrees ? "yes" : "**no**", why ?? ""].map(cell).join(" | ")} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function section(step: DoneStep): string[] {
  const figures = Object.entries(step.figures).flatMap(([file, title]) => [
    `![${title}](figures/${figureName(step, file)})`,
    "",
  ]);
  return [
    `### ${basename(step.model)}: ${step.name}`,
    "",
    ...figures,
    `    ${shown(step)}`,
    "",
    `${step.verdict.replace(/^verdict: /, "")} (${step.facts.dtype}, ${step.facts.kernels}, threads: ${step.facts.threads})`,
    "",
  ];
}

/** A figure's name in the docs. */
export function figureName({ model, name }: Step, file: string): string {
  return `${basename(model)}-${name === "further" ? "further-" : ""}${file}`;
}

/** The command of a step as a user would type it, without the folders of the texts. */
export function shown({ args, model }: Step): string {
  const parts = args.map((part) => (part === model ? `models/${basename(model)}` : part));
  const all = parts.map((part) => (part.startsWith("/") ? basename(part) : part));
  const from = all.indexOf("--text") + 1;
  const to = all.findIndex((part, i) => i >= from && part.startsWith("--"));
  const texts = all.slice(from, to);
  const short = texts.length > 5 ? [...texts.slice(0, 2), `… ${texts.length} files in all`] : texts;
  return `lambent ${(from > 0 ? [...all.slice(0, from), ...short, ...all.slice(to)] : all).join(" ")}`;
}

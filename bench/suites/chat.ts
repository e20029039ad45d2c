import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { ANSWER, isQuestion, PASS_WORD, PASS_WORDS, questions, SYSTEM, TEMPLATE, type Turn } from "../conversation.ts";
import { median } from "../interleave.ts";
import { runNode, temporaryFolder } from "../peers/child.ts";
import { installNative, VERSION } from "../peers/native.ts";
import { Report } from "../report.ts";
import { post, type Served, serve } from "../served.ts";
import { resultsOf, type SuiteFlags } from "./options.ts";

export interface ChatFlags extends SuiteFlags {
  readonly model: string;
  readonly threads: number;
  readonly turns: number;
  readonly window: number;
  readonly native?: boolean;
}

/** Parts of the conversation that get a row each. */
const PARTS = 5;
const TIMEOUT_MS = 3_600_000;
const SAMPLING = { temperature: 0, stop: "\n" };
const FORM = { name: "pass_word", schema: PASS_WORDS };

/**
 * One long conversation through `/v1/responses` and through a client that sends all messages again each time, and in
 * llama.cpp, which shifts its context: time per turn, what is read anew, memory, and whether the system turn is obeyed.
 */
export async function chat(flags: ChatFlags): Promise<void> {
  const { model, threads, window, quick, native } = flags;
  const report = new Report("chat", resultsOf(flags));
  const asked = questions(quick ? 4 : flags.turns);
  const add = report.table(`${basename(model)}, ${threads} threads, ${asked.length} turns, a window of ${window}`, {
    ...{ who: "who", turns: "turns", ms: "ms per turn", worst: "slowest, ms", read: "read", cached: "known" },
    ...{ written: "written", residentMB: "memory, MB", obeyed: "pass word told" },
  });
  const show = (who: string, turns: readonly Turn[]) => {
    const size = Math.ceil(turns.length / PARTS);
    for (let from = 0; from < turns.length; from += size) add({ who, ...partOf(turns, from, size) });
  };
  using folder = temporaryFolder();
  const template = join(folder.path, "template.jinja");
  writeFileSync(template, TEMPLATE);
  for (const [who, talk] of [
    ["/v1/responses", byResponses],
    ["all again", bySendingAll],
  ] as const) {
    const loading = ["--threads", `${threads}`, "--n-local", `${window}`, "--template", template];
    await using served = await serve("--model", model, ...loading);
    show(who, await talk(served, asked));
  }
  if (native) {
    const peer = await installNative();
    const given = join(folder.path, "conversation.json");
    writeFileSync(
      given,
      JSON.stringify({
        ...{ asked, system: SYSTEM, template: TEMPLATE, answer: ANSWER, passWords: PASS_WORDS },
        questions: asked.map((_, turn) => isQuestion(turn)),
      }),
    );
    const args = [model, `${threads}`, `${window}`, given];
    show("node-llama-cpp", await runNode<Turn[]>(peer, "native_chat.mjs", args, TIMEOUT_MS));
    report.version("node-llama-cpp", VERSION);
  }
  await report.write();
}

async function byResponses({ url, residentMB }: Served, asked: readonly string[]): Promise<Turn[]> {
  const turns: Turn[] = [];
  let previous: string | undefined;
  for (const [turn, input] of asked.entries()) {
    const text = isQuestion(turn) ? { format: { type: "json_schema", ...FORM } } : undefined;
    const begun = performance.now();
    const body = {
      input,
      instructions: SYSTEM,
      previous_response_id: previous,
      max_output_tokens: ANSWER,
      truncation: "auto",
      text,
    };
    const answer = await (await post(`${url}/v1/responses`, { ...body, ...SAMPLING })).json();
    const { input_tokens, input_tokens_details, output_tokens } = answer.usage;
    const cached = input_tokens_details.cached_tokens;
    turns.push({
      ...{ ms: performance.now() - begun, read: input_tokens - cached, cached, written: output_tokens },
      ...{ text: answer.output[0].content[0].text, residentMB: residentMB() as number },
    });
    previous = answer.id;
  }
  return turns;
}

async function bySendingAll({ url, residentMB }: Served, asked: readonly string[]): Promise<Turn[]> {
  const turns: Turn[] = [];
  const messages = [{ role: "system", content: SYSTEM }];
  for (const [turn, content] of asked.entries()) {
    const response_format = isQuestion(turn) ? { type: "json_schema", json_schema: FORM } : undefined;
    messages.push({ role: "user", content });
    const begun = performance.now();
    const response = await post(`${url}/v1/chat/completions`, {
      ...{ messages, max_tokens: ANSWER, response_format, ...SAMPLING },
    });
    const { choices, usage } = await response.json();
    const text = choices[0].message.content;
    const cached = usage.prompt_tokens_details.cached_tokens;
    turns.push({
      ...{ ms: performance.now() - begun, read: usage.prompt_tokens - cached, cached, text },
      ...{ written: usage.completion_tokens, residentMB: residentMB() as number },
    });
    messages.push({ role: "assistant", content: text });
  }
  return turns;
}

/** A row of the turns from one on. */
function partOf(turns: readonly Turn[], from: number, size: number) {
  const part = turns.slice(from, from + size);
  const middle = (key: "ms" | "read" | "cached" | "written") => median(part.map((turn) => turn[key] ?? Number.NaN));
  const askings = part.filter((_, i) => isQuestion(from + i));
  const told = askings.filter(({ text }) => text.includes(PASS_WORD)).length;
  return {
    turns: `${from + 1}–${from + part.length}`,
    ...{ ms: middle("ms"), read: middle("read"), cached: middle("cached"), written: middle("written") },
    ...{ worst: Math.max(...part.map(({ ms }) => ms)), residentMB: part.at(-1)?.residentMB },
    obeyed: `${told} of ${askings.length}`,
  };
}

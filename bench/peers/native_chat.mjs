// A conversation in node-llama-cpp, whose context is shifted when it is full:
// node native_chat.mjs <file.gguf> <threads> <context> <conversation.json>
import { readFileSync } from "node:fs";
import { getLlama, JinjaTemplateChatWrapper, LlamaChatSession } from "node-llama-cpp";

const [file, threads, contextSize, given] = process.argv.slice(2);
const { asked, questions, system, template, answer, passWords } = JSON.parse(readFileSync(given, "utf8"));

const llama = await getLlama({
  ...{ gpu: false, build: "never", skipDownload: true },
  ...{ maxThreads: Number(threads), logLevel: "error" },
});
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({
  contextSize: Number(contextSize),
  batchSize: 512,
  threads: Number(threads),
});
const sequence = context.getSequence();
const session = new LlamaChatSession({
  contextSequence: sequence,
  systemPrompt: system,
  chatWrapper: new JinjaTemplateChatWrapper({ template }),
});
const grammar = await llama.createGrammarForJsonSchema(passWords);
const turns = [];
let before = sequence.tokenMeter.getState();
for (const [turn, question] of asked.entries()) {
  const begun = performance.now();
  const text = await session.prompt(question, {
    ...{ temperature: 0, maxTokens: answer, customStopTriggers: ["\n"] },
    ...(questions[turn] ? { grammar } : {}),
  });
  const after = sequence.tokenMeter.getState();
  turns.push({
    ms: performance.now() - begun,
    read: after.usedInputTokens - before.usedInputTokens,
    written: after.usedOutputTokens - before.usedOutputTokens,
    text,
    residentMB: process.memoryUsage.rss() / 1e6,
  });
  before = after;
}
console.log(JSON.stringify(turns));
process.exit(0);

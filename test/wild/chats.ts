/** Chats that templates are tried with: our own, made to meet what templates ask about. */
import type { ChatOptions, ContentPart, Message } from "../../src/tokenizer/chat.ts";

type Content = string | readonly ContentPart[] | null;

export interface Chat {
  readonly name: string;
  readonly messages: readonly Message[];
  readonly options: ChatOptions;
}

const user = (content: Content = "Where does the river Po end?"): Message => ({ role: "user", content });
const reply = (content = "In the Adriatic Sea."): Message => ({ role: "assistant", content });
const SYSTEM: Message = { role: "system", content: "You are a geographer. Answer in one line." };
const ODD = ` \n\t"quotes" 'and' <b>&amp;</b> \\n {{ braces }} {% raw %} é ß 漢字 🎈\u00a0\u2028end --\n\n`;

const TOOLS = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a place.\nNow or later.",
      parameters: {
        type: "object",
        properties: {
          place: { type: "string", description: 'A town\'s name, "quoted" & <tagged>' },
          days: { type: "integer", default: 3, minimum: 0.5 },
          units: { type: ["string", "null"], enum: ["°C", "°F", null] },
          tags: { type: "array", items: { type: "string" }, description: "" },
        },
        required: ["place"],
      },
      return: { type: "object", description: "Degrees" },
    },
  },
  {
    type: "function",
    function: { name: "now", description: "The time.", parameters: { type: "object", properties: {} } },
  },
];
const CALL = {
  id: "call00001",
  type: "function",
  function: { name: "get_weather", arguments: { place: "Zürich", days: 2 } },
};
const SECOND_CALL = { id: "call00002", type: "function", function: { name: "now", arguments: {} } };
const called = (content: Content, ...calls: object[]): Message => ({
  role: "assistant",
  content,
  tool_calls: calls,
});
const result = (id = "call00001", content = '{"degrees": 21.5, "sky": "clear"}'): Message => ({
  role: "tool",
  tool_call_id: id,
  name: "get_weather",
  content,
});
const parts = (...texts: string[]): Content => texts.map((text) => ({ type: "text", text }));
const THOUGHT = "<think>\nThe Po flows east.\n</think>\n\nIn the Adriatic Sea.";
const textArguments = { ...CALL, function: { ...CALL.function, arguments: '{"place": "Zürich", "days": 2}' } };

const chats: Record<string, [readonly Message[], ChatOptions?]> = {
  one: [[user()]],
  "one, no generation prompt": [[user()], { addGenerationPrompt: false }],
  system: [[SYSTEM, user()]],
  "system alone": [[SYSTEM]],
  "two exchanges": [[user(), reply(), user("And the Rhine?")]],
  "answered, with a system": [
    [SYSTEM, user(), reply(), user(" And the Rhine? \n"), reply("  In the North Sea.\n")],
    { addGenerationPrompt: false },
  ],
  odd: [[{ role: "system", content: ODD }, user(ODD), reply(ODD), user(ODD)]],
  empty: [[{ role: "system", content: "" }, user(""), reply(""), user("")]],
  "two users": [[user(), user("And the Rhine?")]],
  "assistant first": [[reply(), user()]],
  thought: [[user(), reply(THOUGHT), user("And the Rhine?")]],
  "reasoning apart": [
    [
      user(),
      { ...reply(), reasoning_content: "The Po flows east." },
      user("And the Rhine?"),
      { ...reply(), reasoning: "East." },
    ],
    { addGenerationPrompt: false },
  ],
  "no thinking": [[user()], { templateVariables: { enable_thinking: false, thinking: false } }],
  thinking: [
    [SYSTEM, user()],
    { templateVariables: { enable_thinking: true, thinking: true, reasoning_effort: "high" } },
  ],
  tools: [[user("What is the weather in Zürich?")], { tools: TOOLS }],
  "tools and a system": [[SYSTEM, user("What is the weather in Zürich?")], { tools: TOOLS }],
  "no tools": [[user()], { tools: [] }],
  "a call": [[user(), called(null, CALL), result(), reply("Clear."), user("Thanks")], { tools: TOOLS }],
  "a call, content absent": [[user(), { role: "assistant", tool_calls: [CALL] }, result()], { tools: TOOLS }],
  "a call, arguments as text": [[SYSTEM, user(), called("", textArguments), result()], { tools: TOOLS }],
  "two calls": [
    [user(), called("I look.", CALL, SECOND_CALL), result(), result("call00002", "noon")],
    { tools: TOOLS },
  ],
  "a call without tools": [[user(), called(null, CALL), result()]],
  "a call at the end": [[user(), called("", CALL)], { tools: TOOLS, addGenerationPrompt: false }],
  parts: [[{ role: "system", content: parts("Be brief.") }, user(parts("Where does", " the Po end?"))]],
  "an image": [
    [
      user([
        { type: "image", url: "x.png" },
        { type: "text", text: "What is it?" },
      ]),
    ],
  ],
  "answers in parts": [[user(parts("Hi")), { role: "assistant", content: parts("Hello", "!") }, user(parts("Bye"))]],
  "content null": [[user(), { role: "assistant", content: null }, user("Hello?")]],
  documents: [
    [user()],
    {
      documents: [
        { title: "Po", text: "A river.", id: 1 },
        { title: "Rhine", text: "Another." },
      ],
    },
  ],
  developer: [[{ role: "developer", content: "Be brief." }, user()]],
  "unknown role": [[{ role: "narrator", content: "Night fell." }, user()]],
  "further keys": [[{ ...user(), name: "Ada", weight: 1, eot: true, n: 2.5, list: [1, "a", null, true, 1e-7, 1e20] }]],
  continued: [[user(), reply("In the Adri")], { continueFinalMessage: true }],
  "continued, space at the end": [[SYSTEM, user(), reply("In the Adri \n")], { continueFinalMessage: true }],
  "continued parts": [
    [user(), { role: "assistant", content: parts("In", " the Adri") }],
    { continueFinalMessage: true },
  ],
  "continued reasoning": [
    [user(), { role: "assistant", content: "", reasoning_content: "East" }],
    { continueFinalMessage: "reasoning_content" },
  ],
  "continued and prompted": [[user(), reply()], { continueFinalMessage: true, addGenerationPrompt: true }],
  "continued, nothing there": [[user(), called(null, CALL)], { continueFinalMessage: true }],
  none: [[]],
};

export const CHATS: readonly Chat[] = Object.entries(chats).map(([name, [messages, options = {}]]) => {
  return { name, messages, options: { now: new Date(2024, 6, 4, 9, 5, 6), ...options } };
});

/** Options as transformers' apply_chat_template names them. */
export function pythonOptions(options: ChatOptions): Record<string, unknown> {
  return {
    tools: options.tools ?? null,
    documents: options.documents ?? null,
    add_generation_prompt: options.addGenerationPrompt ?? !options.continueFinalMessage,
    continue_final_message: options.continueFinalMessage ?? false,
    ...options.templateVariables,
  };
}

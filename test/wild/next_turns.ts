/**
 * renderNextTurns over public chat templates: the pieces of a chat, put together, are the whole, wherever the whole is
 * made by putting turns one after the other.
 *
 *     bun test/wild/next_turns.ts [NAME]
 */
import { join } from "node:path";
import { type ChatOptions, type Message, renderChat } from "../../src/tokenizer/chat.ts";
import { renderNextTurns } from "../../src/tokenizer/next_turns.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { llamaJson } from "../tokenizer/files.ts";
import { python } from "./python.ts";

const FOLDER = join(import.meta.dir, "../../build/wild-templates");
const [wanted = ""] = process.argv.slice(2);
const templates = JSON.parse(python("templates.py", ["fetch", FOLDER])) as Record<string, string>;
const tokenizer = new Tokenizer(llamaJson(), { bos_token: "<s>", eos_token: "</s>" }, "wild");

const user = (content: string): Message => ({ role: "user", content });
const reply = (content: string): Message => ({ role: "assistant", content });
const SYSTEM: Message = { role: "system", content: "You are a geographer." };
const CHATS: Record<string, Message[]> = {
  two: [user("Where does the Po end?"), reply("In the Adriatic."), user("And the Rhine?"), reply("In the North Sea.")],
  "four, with a system": [
    SYSTEM,
    user("One?"),
    reply("1"),
    user("Two?"),
    reply("2"),
    user("Three?"),
    reply("3"),
    user("Four?"),
    reply("4"),
  ],
};

/** The start of each answer: the messages before it. */
function* turns(chat: readonly Message[]): Generator<{ before: Message[]; fresh: Message[]; answer: string }> {
  let from = 0;
  for (const [i, { role, content }] of chat.entries()) {
    if (role !== "assistant") continue;
    yield { before: chat.slice(0, i), fresh: chat.slice(from, i), answer: content as string };
    from = i + 1;
  }
}

const counts: Record<string, number> = {};
const count = (kind: string) => (counts[kind] = (counts[kind] ?? 0) + 1);

function check(name: string, template: string, label: string, chat: readonly Message[]): void {
  const options: ChatOptions = { chatTemplate: template, now: new Date(2024, 6, 4) };
  const all = [...turns(chat)];
  let wholes: string[];
  try {
    wholes = all.map(({ before }) => renderChat(tokenizer, before, options));
  } catch {
    count("the template refuses the chat");
    return;
  }
  const grows = wholes.every((text, i) => i === 0 || text.startsWith(wholes[i - 1]! + all[i - 1]!.answer));
  let pieces = "";
  try {
    for (const [i, { fresh, answer }] of all.entries()) {
      pieces += i === 0 ? renderChat(tokenizer, fresh, options) : renderNextTurns(tokenizer, fresh, options);
      if (i < all.length - 1) pieces += answer;
    }
  } catch (error) {
    count(grows ? "WRONG: refused" : "rewrites earlier turns, and is refused");
    console.log(`${name}: ${label}: ${grows ? "" : "(rewrites) "}${error}`);
    return;
  }
  if (pieces === wholes.at(-1)) count("equal");
  else if (grows) {
    count("WRONG: different");
    console.log(`${name}: ${label}\n  expected ${JSON.stringify(wholes.at(-1))}\n  found    ${JSON.stringify(pieces)}`);
  } else {
    const system = chat[0] === SYSTEM && pieces.split("You are a geographer.").length > 2;
    count(system ? "WRONG: the system's text twice" : "rewrites earlier turns");
    if (wanted) console.log(`  whole  ${JSON.stringify(wholes.at(-1))}\n  pieces ${JSON.stringify(pieces)}`);
  }
}

for (const [name, template] of Object.entries(templates)) {
  if (!name.includes(wanted)) continue;
  for (const [label, chat] of Object.entries(CHATS)) check(name, template, label, chat);
}
console.log(JSON.stringify(counts));
process.exit(Object.keys(counts).some((kind) => kind.startsWith("WRONG")) ? 1 : 0);

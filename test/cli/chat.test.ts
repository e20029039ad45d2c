/** `lambent chat`: in a pseudo terminal, and with messages on standard input. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { load } from "../../src/entry/index.ts";
import { EMBEDDED, embeddedFolder, removeTemporary, temporaryFolder } from "../session/small.ts";
import { endChildren, good, lambent, Terminal } from "./run.ts";

setDefaultTimeout(120_000);
afterEach(endChildren);
afterAll(removeTemporary);

const PROMPT = "\n> ";
/** Answers do not end by themselves. */
const ENDLESS = ["--ignore-eos", "-n", "-1"];

describe("a terminal", () => {
  test("messages, answers, lines and history", async () => {
    const terminal = new Terminal(["chat", "-s", "3"]);
    expect(await terminal.until(PROMPT)).toContain("/help lists commands");
    terminal.type("Good evening!\r");
    await terminal.until("Good evening!\n");
    const answer = (await terminal.until(PROMPT)).slice(0, -PROMPT.length);
    using model = await load(EMBEDDED, { nGlobal: 23 });
    const chat = model.chat({ seed: 3 });
    expect(answer).toBe(await chat.send("Good evening!").text());
    terminal.type("Who \\\r");
    await terminal.until("\n. ");
    terminal.type("are you?\r");
    await terminal.until("are you?\n");
    expect((await terminal.until(PROMPT)).slice(0, -PROMPT.length)).toBe(await chat.send("Who \nare you?").text());
    terminal.type('"""One.\r');
    await terminal.until("\n. ");
    terminal.type('Two."""\r');
    await terminal.until('Two."""\n');
    expect((await terminal.until(PROMPT)).slice(0, -PROMPT.length)).toBe(await chat.send("One.\nTwo.").text());
    terminal.type("/tokens\r");
    expect(await terminal.until(PROMPT)).toMatch(/chat +\d+ tokens; the window holds the last 512, the first 23 stay/);
    terminal.type("\x1b[A");
    await terminal.until("/tokens");
    terminal.type("\x03/undo\r");
    expect(await terminal.until("taken back")).not.toContain("tokens;");
    await terminal.until(PROMPT);
    terminal.type("/nothing\r");
    expect(await terminal.until(PROMPT)).toMatch(/error: command: expected \/help, .*, found \/nothing/);
    terminal.type("\x03");
    await terminal.until("Ctrl-D leaves");
    terminal.type("\x04");
    expect(await terminal.child.exited).toBe(0);
  });

  test("Ctrl-C ends the answer and not the program; what was said stays", async () => {
    const terminal = new Terminal(["chat", ...ENDLESS]);
    await terminal.until(PROMPT);
    for (const question of ["Who are you?", "And then?"]) {
      terminal.type(`${question}\r`);
      await terminal.until(`${question}\n`);
      await terminal.until(" ");
      terminal.type("\x03");
      await terminal.until(PROMPT);
    }
    terminal.type("/tokens\r");
    expect(await terminal.until(PROMPT)).toContain("of 4 messages");
    terminal.type("/exit\r");
    expect(await terminal.child.exited).toBe(0);
  });

  test("what leaves the window is said once", async () => {
    const terminal = new Terminal(["chat", "--n-local", "48", "-s", "1"]);
    await terminal.until(PROMPT);
    let all = "";
    for (let i = 0; i < 8; i++) {
      terminal.type("Where have you been, and with whom, and how long?\r");
      all += await terminal.until("how long?\n");
      all += await terminal.until(PROMPT);
    }
    expect(all.split("no longer seen: the window holds 48 tokens")).toHaveLength(2);
    terminal.type("\x04");
    expect(await terminal.child.exited).toBe(0);
  });
});

describe("standard input", () => {
  test("one message per line; stdout has the answers and nothing else", async () => {
    const { out, err } = await good(["chat", "-s", "3"], "Good evening!\nWho are you?\n\n/tokens");
    using model = await load(EMBEDDED, { nGlobal: 23 });
    const chat = model.chat({ seed: 3 });
    const answers = [await chat.send("Good evening!").text(), await chat.send("Who are you?").text()];
    expect(out).toBe(`${answers.join("\n")}\n`);
    expect(err).toMatch(/^chat {4}\d+ tokens/);
  });

  test("a system turn from a flag or a file stays, and is reserved for", async () => {
    const system = "The captain and his sister sat in the small room over the shop, and spoke of the sea.";
    const file = join(temporaryFolder(), "system.txt");
    writeFileSync(file, `${system}\n`);
    const talk = `${"Where have you been all day, and why?\n".repeat(6)}/tokens\n/system\n`;
    const one = await good(["chat", "-s", "3", "--n-local", "64", "--system", system], talk);
    const two = await good(["chat", "-s", "3", "--n-local", "64", "--system-file", file], talk);
    expect(two).toEqual(one);
    const [, pinned] = one.err.match(/the first (\d+) stay/) ?? [];
    using model = await load(EMBEDDED);
    expect(Number(pinned)).toBeGreaterThanOrEqual(model.tokenizer.count(system));
    expect(one.err).toContain(`system: ${system}\n`);
  });

  test("save, load, fork, undo and another answer", async () => {
    const file = join(temporaryFolder(), "one.chat");
    const commands = ["Who?", "/fork", "Why?", "/fork 1", "Why?", "/undo", "/again", `/save ${file}`, "/system Night."];
    const { out, err } = await good(["chat", "-s", "3"], commands.join("\n"));
    const [who, why, same, again] = out.split("\n");
    expect(why).toBe(same as string);
    expect(again).not.toBe("");
    expect(err).toContain("this is chat 2, a copy of chat 1: /fork 1 goes back\n");
    expect(err).toContain("this is chat 1\n");
    expect(err).toContain(`${file}: 2 messages, `);
    expect(err).toEndWith("system: Night.\n");
    expect(readFileSync(file, "utf8")).toContain(again as string);
    expect(readdirSync(dirname(file)).filter((name) => name.endsWith(".partial"))).toEqual([]);
    const loaded = await good(["chat"], `/load ${file}\nHow?\n/tokens\n`);
    expect(loaded.err).toMatch(/2 messages\n.* [1-9]\d* known before/s);
    expect(who).not.toBe("");
  });

  test("errors are one line that says what to do", async () => {
    const failing = async (args: string[], input: string, code: number, pattern: RegExp) => {
      const run = await lambent(["chat", ...args], input);
      expect(run.err).toMatch(pattern);
      expect(run.err.trimEnd()).not.toContain("\n");
      expect(run.code).toBe(code);
    };
    const bare = embeddedFolder({});
    await failing(["-m", bare], "Hi\n", 1, /^error: .* has no chat template: name a file with one by --template\n$/);
    await failing(["--system", "a", "--system-file", "b"], "", 2, /^error: system: expected one, .* found both\n$/);
    await failing(["--template", "/nowhere/x.jinja"], "", 1, /^error: \/nowhere\/x.jinja: expected a readable file/);
    await failing(
      [],
      "/load /nowhere/x.chat\n",
      1,
      /^error: \/nowhere\/x.chat: expected a readable file, found ENOENT\n$/,
    );
    await failing([], "/save\n", 1, /^error: \/save: expected the name of a file, found none\n$/);
    await failing([], "/fork 2\n", 1, /^error: \/fork: expected a chat from 1 to 1, found 2\n$/);
    await failing([], `/load ${join(EMBEDDED, "config.json")}\n`, 1, /^error: saved chat: /);
    await failing(
      ["--n-global", "4", "--n-local", "32", "--system", "One two three four five six."],
      `${"Who are you? ".repeat(9)}\n`,
      1,
      /nGlobal \(4\)/,
    );
    const template = join(temporaryFolder(), "x.jinja");
    writeFileSync(template, "{% for m in messages %}{{ m.content }}\n{% endfor %}");
    expect((await good(["chat", "-m", bare, "--template", template, "-s", "1"], "Hello")).out).not.toBe("");
  });
});

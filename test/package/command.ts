/** The command line of the installed package, in each runtime that has files. */
import { describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { project } from "./tarball.ts";
import { bun, deno, node22, node24, type Ran, run } from "./tools.ts";

const MODEL = "node_modules/lambent/dist/models/lambent-llama-5m";
const LINK = "node_modules/.bin/lambent";
const GENERATE = ["generate", "The letter lay unopened", "-n", "12", "--seed", "7", "--stats", "json"];
const ENDLESS = ["generate", "Once", "-n", "-1", "--ignore-eos", "--seed", "1"];

/** How the command is begun, by its launcher and by its file; the first `node` of the PATH runs what is written for it. */
const PLACES = [
  { name: "Node 22", launcher: ["npx", "--offline", "lambent"], words: [LINK], node: node22() },
  { name: "Node 24", launcher: ["npx", "--offline", "lambent"], words: [LINK], node: node24() },
  { name: "Deno", launcher: [deno(), "run", "-A", "npm:lambent"], words: [deno(), "run", "-A", LINK], node: undefined },
  { name: "Bun", launcher: [bun, "x", "--bun", "lambent"], words: [bun, LINK], node: undefined },
];

describe("the command line of the package", () => {
  let folder: Promise<string> | undefined;
  let wanted: string | undefined;
  const inProject = () => {
    folder ??= project("command", {}, []);
    return folder;
  };

  test.each(PLACES)("in $name", async ({ name, launcher, words, node }) => {
    const cwd = await inProject();
    const env = node ? { PATH: `${dirname(node)}:${process.env.PATH}` } : {};
    const lambent = (...args: string[]) => run([...words, ...args], cwd, { env });
    const good = async (...args: string[]): Promise<Ran> => {
      const ran = await lambent(...args);
      expect(ran).toMatchObject({ code: 0 });
      return ran;
    };

    const told = await run([...launcher, ...GENERATE], cwd, { env });
    expect(told).toMatchObject({ code: 0 });
    const { runtime, logitsHash } = JSON.parse(told.err.trim().split("\n").at(-1) as string);
    expect(runtime).toStartWith(name.toLowerCase());
    wanted ??= told.out + logitsHash;
    expect(told.out + logitsHash).toBe(wanted);

    const piped = await run([...words, "generate", "-n", "2", "--seed", "1", "--output", "jsonl"], cwd, {
      ...{ env, stdin: "The letter" },
    });
    expect(
      piped.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).position),
    ).toEqual([3, 4]);

    expect((await good("inspect")).out).toContain("bytes (3.1 MiB) of keys and values per session");
    const quantised = `q4-${name.replace(" ", "")}`;
    await good("quantize", MODEL, quantised, "--dtype", "q4");
    expect((await good("generate", "--model", quantised, ...GENERATE.slice(1))).err).toContain('"dtype":"q4');

    expect(await lambent("generate", "--nonsense")).toMatchObject({
      code: 2,
      err: "error: unknown option '--nonsense'\n",
    });
    expect(await lambent("generate", "--model", "./none")).toMatchObject({
      ...{
        code: 1,
        out: "",
        err: expect.stringMatching(/^error: model: expected a directory.*found no directory \.\/none\n$/),
      },
    });
    expect(await lambent("eval", "nll", "--text", "text.txt")).toMatchObject({
      ...{
        code: 1,
        err: expect.stringMatching(/^error: lambent eval is not part of the package: clone lambent's repository.*\n$/),
      },
    });

    const full = await run(["sh", "-c", '"$0" "$@" > /dev/full', ...words, ...GENERATE], cwd, { env });
    expect(full).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/^error: standard output: expected a writable file.*\n$/) },
    });

    const begin = () => Bun.spawn([...words, ...ENDLESS], { cwd, env: { ...process.env, ...env }, stderr: "pipe" });
    for (const end of ["interrupted", "not listened to"] as const) {
      const child = begin();
      const reader = child.stdout.getReader();
      await reader.read();
      if (end === "interrupted") child.kill("SIGINT");
      else await reader.cancel();
      expect(await child.exited).toBe(end === "interrupted" ? 130 : 0);
    }
  });
});

/**
 * The page of examples/browser in Chromium. FULL=1: 20,000 tokens instead of 1,000.
 *
 *     npm run page-test
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext } from "playwright-core";
import { serveSite } from "../../examples/browser/server.ts";
import { buildSite } from "../../examples/browser/site.ts";
import { load } from "../../src/entry/index.ts";
import { GGUF, ROOT } from "../setup.ts";
import { launch, Reader, words } from "./browser.ts";

const LONG = process.env.FULL ? 20_000 : 1_000;
const MODEL = "models/lambent-llama-5m";
const PROMPT = "It was late in the evening when the old captain came home.";

let browser: Browser;
let context: BrowserContext;
let reader: Reader;
let isolated: ReturnType<typeof serveSite>;
let plain: ReturnType<typeof serveSite>;

beforeAll(async () => {
  browser = await launch();
  isolated = serveSite(await buildSite(true), true, 0);
  plain = serveSite(await buildSite(false), false, 0);
});

afterAll(async () => {
  await browser?.close();
  await isolated?.stop(true);
  await plain?.stop(true);
});

beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  reader = new Reader(await context.newPage());
});

afterEach(async () => {
  await context.close();
  expect(reader.complaints).toEqual([]);
});

/** The text that the same model writes here. */
async function expected(tokens: number, seed: number): Promise<string> {
  using model = await load(MODEL, { threads: 1 });
  const session = await model.session({ seed });
  await session.append(PROMPT);
  let text = PROMPT;
  while (session.length < tokens) text += (await session.next({ temperature: 0.8, topK: 50, topP: 0.95 })).text;
  return text;
}

/** A folder that is there as long as its name. */
function temporary() {
  const path = mkdtempSync(join(tmpdir(), "lambent-page-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

for (const [name, server, engine] of [
  ["isolated", () => isolated, /shared-relaxed.*threads: as asked for/],
  ["not isolated", () => plain, /single-relaxed.*one thread: the page is not cross-origin isolated/],
] as const) {
  test(`${name}: starts, stops and continues by clicks, with the words that Bun writes`, async () => {
    await reader.open(server().url);
    await reader.set("seed", "7");
    await reader.write(100);
    const first = await reader.number("position");
    const begun = words(await reader.story());
    expect(begun).toBe(words(await expected(first, 7)));
    await reader.write(first + 100, "Continue");
    const second = await reader.number("position");
    expect(second).toBeGreaterThanOrEqual(first + 100);
    const continued = words(await reader.story());
    expect(continued).toBe(words(await expected(second, 7)));
    expect(continued).toStartWith(begun);
    expect((await reader.page.locator("#engine").textContent())?.replace(/\s+/g, " ")).toMatch(engine);
  });
}

test("by keyboard alone: every control is reached, Enter starts and continues, Escape stops, New begins anew", async () => {
  await reader.open(isolated.url);
  const { keyboard } = reader.page;
  const focused = () => reader.page.evaluate(() => document.activeElement?.id);
  await keyboard.press("Tab");
  expect(await focused()).toBe("prompt");
  await keyboard.press("ControlOrMeta+A");
  await keyboard.type("The sea");
  await keyboard.press("Tab");
  expect(await focused()).toBe("go");
  expect(await reader.page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle)).toBe(
    "solid",
  );
  await keyboard.press("Enter");
  await reader.waitFor(30);
  expect(await focused()).toBe("go");
  await keyboard.press("Escape");
  await reader.settled();
  const position = await reader.number("position");
  await keyboard.press("Enter");
  await reader.waitFor(position + 30);
  await keyboard.press("Enter");
  await reader.settled();
  expect(await reader.story()).toContain("The sea");
  await reader.page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  const seen: unknown[] = [];
  for (let i = 0; i < 60 && seen.at(-1) !== "prompt"; i++) {
    await keyboard.press("Tab");
    seen.push(await reader.page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName));
  }
  const fields = ["new", "beside", "SECTION", "seed", "temperature", "top_k", "top_p", "min_p", "repetition_penalty"];
  expect(seen).toEqual(
    expect.arrayContaining([...fields, "pace", "dtype", "threads", "room", "save", "restore", "folder", "file"]),
  );
  // Behind the last one comes the first one: nothing keeps the focus.
  expect(seen.at(-1)).toBe("prompt");
  await keyboard.press("Tab");
  await keyboard.press("Tab");
  expect(await focused()).toBe("new");
  await keyboard.press("Enter");
  expect(await focused()).toBe("prompt");
  expect(await reader.story()).toBe("");
  await keyboard.press("ControlOrMeta+Enter");
  await reader.waitFor(10);
  await keyboard.press("Escape");
  await reader.settled();
});

test("a seed gives its story again; without one each story is another", async () => {
  await reader.open(plain.url);
  const stories: string[] = [];
  for (const seed of ["11", "11", "", ""]) {
    await reader.set("seed", seed);
    await reader.write(60);
    stories.push((await reader.story()).slice(PROMPT.length, PROMPT.length + 120));
    expect(await reader.page.locator(".seed").textContent()).toMatch(seed ? /^seed 11$/ : /^seed \d+$/);
    await reader.button("New").click();
  }
  expect(stories[0]).toBe(stories[1] as string);
  expect(new Set(stories).size).toBe(3);
});

test(`memory stays flat over ${LONG.toLocaleString("en")} tokens, and so does the page`, async () => {
  await reader.open(isolated.url);
  await reader.set("seed", "1");
  await reader.write(LONG / 2);
  const gauge = await reader.number("memory");
  const before = await reader.processMemory();
  await reader.write(LONG, "Continue");
  expect(await reader.number("memory")).toBe(gauge);
  expect(gauge).toBeGreaterThan(10);
  const after = await reader.processMemory();
  console.log(
    `      ${(before / 1e6).toFixed(1)} MB at ${LONG / 2} tokens, ${(after / 1e6).toFixed(1)} MB at ${LONG}, in the page's process`,
  );
  // The text that stays on the page, and code that was compiled meanwhile.
  expect(after).toBeLessThan(1.02 * before + 10e6);
  expect((await reader.story()).length).toBeLessThan(60_000);
  const cut = await reader.page.locator(".cut").textContent();
  if (LONG > 15_000) expect(cut).toMatch(/^Only the end of the story stays on the page: [\d,]+ characters/);
});

test("goes on without a network, also after a reload", async () => {
  await reader.open(isolated.url);
  await reader.page.getByText("it works without a network now").waitFor();
  await context.setOffline(true);
  await reader.write(40);
  await reader.page.reload();
  await reader.settled();
  await reader.set("seed", "7");
  await reader.write(40);
  expect(words(await reader.story())).toBe(words(await expected(await reader.number("position"), 7)));
  expect(await reader.page.locator("#engine-facts").textContent()).toContain("shared-");
});

test("a newer version of the page is offered, and replaces the old one as a whole", async () => {
  const site = new Map(await buildSite(false));
  using server = serveSite(site, false, 0);
  await reader.open(server.url);
  await reader.page.getByText("it works without a network now").waitFor();
  for (const [path, bytes] of await buildSite(true)) site.set(path, bytes);
  site.set(
    "index.html",
    Buffer.from(
      Buffer.from(site.get("index.html") ?? [])
        .toString()
        .replace("<h1>Lambent", "<h1>Newer"),
    ),
  );
  await reader.open(server.url);
  expect(await reader.page.locator("h1").textContent()).toBe("Lambent");
  await reader.button("Use it").waitFor();
  await reader.open(server.url);
  expect(await reader.page.locator("h1").textContent()).toBe("Lambent");
  await reader.button("Use it").click();
  await reader.page.locator("h1", { hasText: "Newer" }).waitFor();
  await reader.settled();
  await reader.write(20);
});

describe("another model", () => {
  const GPTJ = join(ROOT, "models/lambent-gptj-6m");

  test("chosen as a folder", async () => {
    await reader.open(isolated.url);
    await reader.page.locator("#folder").setInputFiles(GPTJ);
    await reader.page.getByText("lambent-gptj-6m is ready").waitFor();
    await reader.write(60);
    expect(await reader.error()).toBe("");
    await reader.page.getByText("Another model").click();
    await reader.button("Back to the embedded model").click();
    await reader.page.getByText("lambent-llama-5m is ready").waitFor();
  });

  test("dropped as a folder", async () => {
    await reader.open(plain.url);
    await reader.drop(GPTJ);
    await reader.page.getByText("is ready").filter({ hasNotText: "llama" }).waitFor();
    await reader.write(60);
  });

  test("a GGUF file, dropped or chosen, and a split set", async () => {
    await reader.open(isolated.url);
    await reader.drop(join(GGUF, "gemma3-text.gguf"));
    await reader.page.getByText("gemma3-text.gguf is ready").waitFor();
    await reader.write(40);
    const parts = readdirSync(GGUF).filter((name) => name.startsWith("split-"));
    await reader.page.locator("#file").setInputFiles(parts.map((name) => join(GGUF, name)));
    await reader.page.getByText(/split-0000\d-of-00003.gguf is ready/).waitFor();
    await reader.write(40);
    expect(await reader.error()).toBe("");
    await reader.page.locator("#file").setInputFiles(["qwen2", "qwen3"].map((name) => join(GGUF, `${name}.gguf`)));
    await reader.page.locator("#error").filter({ hasText: "expected one GGUF file" }).waitFor();
  });

  test("a broken one is refused in words, and the page goes on", async () => {
    using folder = temporary();
    for (const file of readdirSync(GPTJ)) copyFileSync(join(GPTJ, file), join(folder.path, file));
    truncateSync(join(folder.path, "model.safetensors"), 1_000_000);
    await reader.open(isolated.url);
    await reader.page.locator("#folder").setInputFiles(folder.path);
    await reader.page.locator("#error").filter({ hasText: "expected" }).waitFor();
    expect(await reader.error()).toMatch(/model\.safetensors.*expected .*, found /);
    expect(reader.complaints).toEqual([]);
    await reader.write(40);
    expect(await reader.error()).toBe("");
    truncateSync(join(folder.path, "config.json"), 20);
    await reader.page.locator("#folder").setInputFiles(folder.path);
    await reader.page.locator("#error").filter({ hasText: "config.json" }).waitFor();
    // The story from before is still there.
    await reader.write(80, "Continue");
  });
});

test("full attention beside Λ: the same words up to the trained length, then memory that grows and an end", async () => {
  await reader.open(isolated.url);
  await reader.set("seed", "3");
  await reader.set("room", "640");
  await reader.set("beside", true);
  await reader.button("Start").click();
  await reader.waitFor(100, "full");
  const [early, flat] = [await reader.number("memory", "full"), await reader.number("memory")];
  await reader.waitFor(640, "full");
  await reader.waitFor(700);
  await reader.button("Stop").click();
  await reader.settled();
  expect(await reader.number("position", "full")).toBe(640);
  expect(await reader.story("full")).toContain("no room beyond 640 tokens");
  expect(await reader.number("memory", "full")).toBeGreaterThan(early + 2);
  expect(await reader.number("memory")).toBe(flat);
  const [lambda, full] = [words(await reader.story()), words(await reader.story("full"))];
  expect(full.slice(0, 1200)).toBe(lambda.slice(0, 1200));
  expect(await reader.page.locator("#plot").getAttribute("aria-label")).toMatch(
    /Λ-attention \d+\.\d\d, Full attention \d+\.\d\d$/,
  );
});

test("a session is saved, restored in another page and in Bun, and goes on with the same words", async () => {
  using folder = temporary();
  await reader.open(isolated.url);
  await reader.set("seed", "5");
  await reader.write(80);
  await reader.page.locator("#session").evaluate((element) => element.setAttribute("open", ""));
  const [download] = await Promise.all([
    reader.page.waitForEvent("download"),
    reader.button("Save the session").click(),
  ]);
  const file = join(folder.path, download.suggestedFilename());
  await download.saveAs(file);
  const saved = await reader.number("position");
  const before = await reader.story();
  await reader.write(saved + 80, "Continue");
  const position = await reader.number("position");
  const after = (await reader.story()).slice(before.length);

  const other = new Reader(await context.newPage());
  await other.open(plain.url);
  await other.page.locator("#restore").setInputFiles(file);
  await other.page.getByText("Restored. Press Continue").waitFor();
  expect(await other.number("position")).toBe(saved);
  await other.write(position, "Continue");
  expect(words((await other.story()).split("not in the file.")[1] as string)).toStartWith(words(after));
  expect(other.complaints).toEqual([]);

  using model = await load(MODEL);
  const session = await model.restore(readFileSync(file));
  let text = "";
  while (session.length < position) text += (await session.next({ temperature: 0.8, topK: 50, topP: 0.95 })).text;
  expect(words(text)).toBe(words(after));

  truncateSync(file, 5000);
  await other.page.locator("#restore").setInputFiles(file);
  await other.page.locator("#error").filter({ hasText: "snapshot" }).waitFor();
  await other.write(position + 100, "Continue");
});

test("an engine whose worker ends is told in words, and Start works again", async () => {
  for (const server of [isolated, plain]) {
    await reader.open(server.url);
    await reader.button("Start").click();
    await reader.waitFor(50);
    const engine = reader.page.workers().find((worker) => worker.url().endsWith("browser_worker.js"));
    await engine?.evaluate(() => close());
    await reader.settled();
    expect(await reader.error()).toMatch(/the engine's worker ended/);
    await reader.write(50);
    expect(await reader.error()).toBe("");
  }
});

test("a thread that ends in the midst of a step is told in words, and Start works again", async () => {
  const site = new Map(await buildSite(true));
  const change = (script: string, first: string) => {
    const path = [...site.keys()].find((path) => path.endsWith(script)) as string;
    const whole = site.get(path) as Uint8Array;
    site.set(path, Buffer.concat([Buffer.from(first), whole]));
    return () => site.set(path, whole);
  };
  // Where steps seem to take no time, all threads take part, however busy the machine is.
  change("browser_worker.js", "performance.now = () => 5000 * Math.floor(Date.now() / 5000);\n");
  // Between two steps it would be replaced without an error.
  const heal = change(
    "browser_thread.js",
    `{
      const { Instance } = WebAssembly;
      let steps = 0;
      WebAssembly.Instance = function (module, imports) {
        const { exports } = new Instance(module, imports);
        const run = (...step) => {
          if (++steps === 100) {
            close();
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
          }
          return exports.run(...step);
        };
        return { exports: { ...exports, run } };
      };
    }\n`,
  );
  using server = serveSite(site, true, 0);
  await reader.open(server.url);
  await reader.set("threads", "2");
  await reader.button("Start").click();
  await reader.page.locator("#error:not(:empty)").waitFor({ timeout: 100_000 });
  expect(await reader.error()).toBe("the step lost thread 1 of 2");
  heal();
  await reader.write(50);
  expect(await reader.error()).toBe("");
});

test("workers and kernels that do not come are told in words, unless others will do", async () => {
  reader.expected = /404|An unknown error occurred when fetching the script/;
  for (const [missing, error] of [
    [/browser_worker/, /^the engine's worker ended/],
    [/wasm$/, /expected the kernels there, found HTTP 404/],
    [/^shared/, /^$/],
    [/browser_thread/, /^$/],
  ] as const) {
    const site = new Map(await buildSite(true));
    for (const path of [...site.keys()].filter((path) => missing.test(path))) site.delete(path);
    using server = serveSite(site, true, 0);
    await reader.open(server.url);
    if (error.test("")) await reader.write(40);
    expect(await reader.error()).toMatch(error);
  }
});

test("wrong numbers are told in words where they are, and the story goes on", async () => {
  await reader.open(plain.url);
  await reader.write(20);
  await reader.set("top_p", "3");
  await reader.button("Continue").click();
  await reader.settled();
  expect(await reader.error()).toBe("topP: expected a number above 0, at most 1, found 3");
  await reader.set("top_p", "0.9");
  await reader.write((await reader.number("position")) + 20, "Continue");
});

test("a prompt that is too long, or cut short by Escape, leaves no story behind", async () => {
  await reader.open(isolated.url);
  await reader.set("beside", true);
  await reader.set("room", "512");
  await reader.page.locator("#prompt").fill("The captain came home. ".repeat(1000));
  await reader.button("Start").click();
  await reader.settled();
  expect(await reader.error()).toMatch(/maxPositions|512/);
  await reader.set("beside", false);
  await reader.page.locator("#prompt").fill("The captain came home. ".repeat(20_000));
  await reader.button("Start").click();
  await reader.page.getByText("Reading …").waitFor();
  await reader.page.keyboard.press("Escape");
  await reader.settled();
  expect(await reader.status()).toBe("Cancelled.");
  await reader.page.locator("#prompt").fill("");
  await reader.write(30);
});

test("a model that does not come is told in words; loading is cancelled and begun again", async () => {
  reader.expected = /503/;
  const weights = "**/model.safetensors";
  await reader.page.route(weights, (route) => route.fulfill({ status: 503 }));
  await reader.open(plain.url);
  expect(await reader.error()).toBe("model.safetensors: expected to be fetched, found HTTP 503");
  await reader.page.unroute(weights);
  await reader.page.route(weights, () => {}); // never answered
  await reader.button("Start").click();
  await reader.button("Cancel").click();
  await reader.settled();
  expect(await reader.status()).toBe("Cancelled.");
  await reader.page.unroute(weights);
  await reader.write(30);
});

describe("accessibility", () => {
  test("on 320 pixels nothing has to be scrolled sideways", async () => {
    await reader.page.setViewportSize({ width: 320, height: 640 });
    await reader.open(isolated.url);
    await reader.set("beside", true);
    await reader.write(60);
    await reader.page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    const wide = await reader.page.evaluate(() => {
      const { clientWidth, scrollWidth } = document.documentElement;
      const out = [...document.querySelectorAll("body *")].filter(
        (part) => part.getBoundingClientRect().right > clientWidth,
      );
      return [scrollWidth - clientWidth, ...out.map(({ tagName, id, className }) => `${tagName} ${id} ${className}`)];
    });
    expect(wide).toEqual([0]);
  });

  for (const colorScheme of ["light", "dark"] as const) {
    test(`${colorScheme}: every control has a name, every text enough contrast`, async () => {
      await reader.page.emulateMedia({ colorScheme });
      await reader.open(plain.url);
      await reader.set("beside", true);
      await reader.write(60);
      await reader.page.evaluate(() => {
        for (const details of document.querySelectorAll("details")) details.open = true;
      });
      expect(await reader.page.evaluate(withoutName)).toEqual([]);
      expect(await reader.page.evaluate(faint)).toEqual([]);
      await reader.page.evaluate(() => ((document.getElementById("error") as HTMLElement).textContent = "An error."));
      expect(await reader.page.evaluate(faint)).toEqual([]);
    });
  }
});

/** In the page: controls that nothing names. */
function withoutName(): string[] {
  const controls = document.querySelectorAll<HTMLInputElement>("button, input, select, textarea, progress");
  const named = ({ labels, textContent, ariaLabel }: HTMLInputElement) =>
    [...(labels ?? [])].some((label) => label.textContent.trim() !== "") || textContent.trim() || ariaLabel;
  return [...controls].filter((control) => !named(control)).map(({ outerHTML }) => outerHTML);
}

/** In the page: texts whose colour is too near to what is behind them. see: WCAG 2.2, 1.4.3 */
function faint(): string[] {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {
    willReadFrequently: true,
  }) as OffscreenCanvasRenderingContext2D;
  const luminance = (colours: readonly string[]) => {
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
      return value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found: string[] = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement as HTMLElement;
    const visible = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    // What cannot be used may be faint.
    if (!visible || texts.currentNode.textContent?.trim() === "" || element.closest(":disabled, template")) continue;
    const behind: string[] = [];
    for (let part: HTMLElement | null = element; part; part = part.parentElement) {
      behind.unshift(getComputedStyle(part).backgroundColor);
    }
    const [text, ground] = [luminance([...behind, getComputedStyle(element).color]), luminance(behind)];
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(1)}: ${texts.currentNode.textContent}`);
  }
  return found;
}

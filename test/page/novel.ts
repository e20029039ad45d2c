/**
 * The page that reads a book and shows where its answers come from, in Chromium. With LAMBENT_MODELS Gemma is asked for a
 * number that was hidden in the text.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { serveSite } from "../../examples/browser/server.ts";
import { buildSite } from "../../examples/browser/site.ts";
import { load } from "../../src/entry/index.ts";
import { ROOT } from "../setup.ts";
import { launch, Reader } from "./browser.ts";

setDefaultTimeout(300_000);

const NOVEL = readFileSync(join(ROOT, "models/texts/austen-persuasion.txt"), "utf8").slice(20_000, 60_000);
const GEMMA = process.env.LAMBENT_MODELS && join(process.env.LAMBENT_MODELS, "gemma-3-270m-q4_k_m.gguf");
const ASKED = "Sir Walter Elliot";

let browser: Browser;
let context: BrowserContext;
let page: Page;
let reader: Reader;
let site: ReturnType<typeof serveSite>;

beforeAll(async () => {
  browser = await launch();
  site = serveSite(await buildSite(true), true, 0);
});
afterAll(async () => {
  await browser?.close();
  await site?.stop(true);
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  page = await context.newPage();
  reader = new Reader(page);
});
afterEach(async () => {
  await context.close();
  expect(reader.complaints).toEqual([]);
});

const status = () => page.locator("#status").textContent();
const error = () => page.locator("#error").textContent();
const marks = () => page.locator("mark").allTextContents();

async function readBook(text: string): Promise<void> {
  await reader.set("text", text);
  await reader.button("Read").click();
  await reader.settled();
  expect(await error()).toBe("");
}

/** What the page keeps of books in the browser's own file system. */
function logged(): Promise<{ folders: number; bytes: number }> {
  return page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    let [folders, bytes] = [0, 0];
    for await (const folder of root.values()) {
      folders++;
      for await (const file of (folder as FileSystemDirectoryHandle).values()) {
        bytes += (await (file as FileSystemFileHandle).getFile()).size;
      }
    }
    return { folders, bytes };
  });
}

async function ask(question: string): Promise<string> {
  await reader.set("question", question);
  await reader.button("Ask").click();
  await reader.settled();
  expect(await error()).toBe("");
  return (await page.locator("#answer").textContent()) ?? "";
}

test("a text far beyond the window is read and asked: the words and the passages that Bun gives", async () => {
  await reader.open(new URL("novel.html", site.url));
  await readBook(NOVEL);
  expect(await status()).toMatch(/^[\d,]+ tokens were read, in [\d.]+ MB of memory\.$/);
  const answer = await ask(ASKED);
  // What the answer looked back at was in the browser's own files, of which little stays in memory.
  expect(await logged()).toMatchObject({ folders: 1 });
  expect((await logged()).bytes).toBeGreaterThan(2 * 8 * 2 ** 20);
  using model = await load("models/lambent-llama-5m", {
    ...{ nLocal: 512, recall: 4, recallTokens: Math.ceil(NOVEL.length / 3) + 2048, cacheDtype: "bf16", maxSessions: 2 },
  });
  const paragraphs = NOVEL.split(/\n\s*\n/).filter((part) => part.trim() !== "");
  const pieces = paragraphs.map((part) => model.tokenizer.encode(`${part}\n\n`, { addSpecialTokens: false }));
  const session = await model.session();
  const ids = [...model.tokenizer.encode(""), ...pieces.flat()];
  await session.append(ids, { recall: false });
  await session.append(`\n\n${ASKED}`);
  const text = await session.generate(undefined, { maxNewTokens: 32, temperature: 0 }).text();
  expect(answer).toBe(`${ASKED}${text}`);
  const lit = await marks();
  expect(lit.length).toBeGreaterThan(0);
  expect(lit.length).toBeLessThanOrEqual(5);
  const [heaviest] = await session.recalled();
  const token = model.tokenizer.decode([ids[heaviest?.position ?? 0] as number]).trim();
  expect(lit.some((mark) => mark.includes(token))).toBe(true);
  for (const mark of lit) expect(NOVEL).toContain(mark);
  // A second question leaves no marks of the first, and the text as it was.
  await ask("The Admiral");
  expect(await page.locator("#pages").textContent()).toContain(paragraphs[3]?.split("\n")[0] as string);
  await page.locator("#sources button").first().click();
});

test("what is missing or wrong is told in words; reading is cancelled and begun again", async () => {
  await reader.open(new URL("novel.html", site.url));
  await reader.button("Read").click();
  await reader.settled();
  expect(await error()).toBe("expected a text to read, found none");
  await reader.set("recall_layers", "77");
  await reader.set("text", NOVEL);
  await reader.button("Read").click();
  await reader.settled();
  expect(await error()).toStartWith("recallLayers: expected");
  await reader.set("recall_layers", "");
  await reader.set("text", NOVEL.repeat(20));
  await reader.button("Read").click();
  await page.waitForFunction(() => document.getElementById("loading-what")?.textContent?.startsWith("Reading"));
  await reader.button("Cancel").click();
  await reader.settled();
  expect(await status()).toBe("Cancelled.");
  await readBook(NOVEL.slice(0, 5000));
  await reader.button("Ask").click();
  await reader.settled();
  expect(await error()).toBe("expected a sentence to go on with, found none");
});

test("by keyboard: every control is reached and named", async () => {
  await reader.open(new URL("novel.html", site.url));
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  const seen: unknown[] = [];
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName));
  }
  expect(seen).toEqual(expect.arrayContaining(["text", "question", "read", "recall", "recall_gate", "tokens"]));
});

test.skipIf(!GEMMA)(
  "Gemma looks back at the number that was hidden in the text, and the page shows where",
  async () => {
    const hidden = "The number of the safe is 48213.";
    const half = NOVEL.indexOf("\n\n", 12_000);
    await reader.open(new URL("novel.html", site.url));
    await page.locator("#other").evaluate((element) => element.setAttribute("open", ""));
    await page.locator("#file").setInputFiles(GEMMA as string);
    await reader.settled();
    await reader.set("recall_layers", "5:1,11:2");
    await readBook(`${NOVEL.slice(0, half)} ${hidden}${NOVEL.slice(half)}`);
    await ask("The number of the safe is");
    expect((await marks()).join(" ")).toMatch(/\d{3,}/);
  },
);

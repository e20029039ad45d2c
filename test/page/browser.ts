/** A page in the machine's Chromium, and what its reader does there. */
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { installTools, launchChromium } from "../platforms/tools.ts";

/** The machine's browser, by the tools of the platform suite. */
export async function launch(): Promise<Browser> {
  await installTools();
  return launchChromium<Browser>();
}

/** A text without the breaks of paragraphs, and without the marks of a story's end. */
export const words = (text: string) => text.replace(/\s+/g, " ").replaceAll("⁂ ", "").trim();

/** What the page shows and takes; everything goes through what a reader sees. */
export class Reader {
  readonly page: Page;
  /** Whatever the page prints as an error or warning, and what it does not catch. */
  readonly complaints: string[] = [];
  /** What the browser itself notes of an answer that the test has made so. */
  expected = /^$/;

  constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => {
      const [type, text] = [message.type(), message.text()];
      if (["error", "warning"].includes(type) && !this.expected.test(text)) this.complaints.push(`${type}: ${text}`);
    });
    page.on("pageerror", (error) => this.complaints.push(`uncaught: ${error.message}`));
    page.on("crash", () => this.complaints.push("the page crashed"));
  }

  async open(url: string | URL): Promise<void> {
    await this.page.goto(`${url}`);
    await this.settled();
  }

  /** Waits until the model is there. */
  async settled(): Promise<void> {
    // A book of a hundred pages takes half a minute.
    const timeout = 180_000;
    const isSettled = () => !["loading", "writing", undefined].includes(document.body.dataset.phase);
    await this.page.waitForFunction(isSettled, undefined, { timeout });
  }

  button(name: string) {
    return this.page.getByRole("button", { name, exact: true });
  }

  /** Opens the part of the page that a field is in, and fills it. */
  async set(field: string, value: string | boolean): Promise<void> {
    const locator = this.page.locator(`#${field}`);
    await locator.evaluate((element) => element.closest("details")?.setAttribute("open", ""));
    if (typeof value === "boolean") await locator.setChecked(value);
    else if ((await locator.evaluate((element) => element.tagName)) === "SELECT") await locator.selectOption(value);
    else await locator.fill(value);
  }

  /** The page's numbers, as its words say them. */
  async number(part: string, column = "lambda"): Promise<number> {
    const text = await this.page.locator(`.column.${column} .${part}`).textContent();
    return Number((text ?? "").replaceAll(",", ""));
  }

  async waitFor(tokens: number, column = "lambda"): Promise<void> {
    await this.page.waitForFunction(
      ([tokens, column]) => {
        const text = document.querySelector(`.column.${column} .position`)?.textContent ?? "";
        return Number(text.replaceAll(",", "")) >= Number(tokens);
      },
      [tokens, column] as const,
      { timeout: 100_000, polling: 50 },
    );
  }

  /** Starts, or continues, until there are this many tokens. */
  async write(tokens: number, button: "Start" | "Continue" = "Start"): Promise<void> {
    await this.button(button).click();
    await this.waitFor(tokens);
    await this.button("Stop").click();
    await this.settled();
  }

  /** The story as the page has it, its paragraphs with the breaks that they had. */
  async story(column = "lambda"): Promise<string> {
    return this.page.locator(`.column.${column} .story`).evaluate((box) => {
      return [...box.children].map((part) => (part.className === "joined" ? "" : "\n\n") + part.textContent).join("");
    });
  }

  async error(): Promise<string> {
    return (await this.page.locator("#error").textContent()) ?? "";
  }

  async status(): Promise<string> {
    return (await this.page.locator("#status").textContent()) ?? "";
  }

  /** Drags a file or folder of this machine over the page and drops it there. */
  async drop(path: string): Promise<void> {
    const devtools = await this.page.context().newCDPSession(this.page);
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      const data = { items: [], files: [path], dragOperationsMask: 1 };
      await devtools.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
    }
    await devtools.detach();
  }

  /** Has the tools of developers call a worker, which may block in its kernels; nothing if there is none, or it ends just then. */
  async callWorker(script: string, methods: Readonly<Record<string, object>>): Promise<void> {
    const devtools = await this.#devtools();
    const { targetInfos } = await devtools.send("Target.getTargets");
    const targetId = targetInfos.find(({ url }) => url.endsWith(script))?.targetId;
    try {
      if (targetId === undefined) return;
      const { sessionId } = await devtools.send("Target.attachToTarget", { targetId, flatten: false });
      for (const [id, [method, params]] of Object.entries(methods).entries()) {
        await devtools.send("Target.sendMessageToTarget", {
          sessionId,
          message: JSON.stringify({ id, method, params }),
        });
      }
    } catch (error) {
      if (!/No target with given id|No session with given id/.test(`${error}`)) throw error;
    } finally {
      await devtools.detach();
    }
  }

  /** Bytes of the page's process that are in memory, without what is garbage; others draw what is around the page. */
  async processMemory(): Promise<number> {
    await this.page.requestGC();
    await this.callWorker("browser_worker.js", { "HeapProfiler.enable": {}, "HeapProfiler.collectGarbage": {} });
    await Bun.sleep(1000);
    const devtools = await this.#devtools();
    const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
    await devtools.detach();
    const renderers = processInfo.filter(({ type }) => type === "renderer");
    const bytes = renderers.map(({ id }) => {
      return 1024 * Number(readFileSync(`/proc/${id}/smaps_rollup`, "utf8").match(/^Pss: +(\d+) kB/m)?.[1]);
    });
    return Math.max(...bytes);
  }

  #devtools() {
    return (this.page.context().browser() as Browser).newBrowserCDPSession();
  }
}

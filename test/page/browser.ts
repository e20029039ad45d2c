/** A page in the machine's Chromium, and what its reader does there. */
import type { Browser, Page } from "playwright-core";
import { installTools, launchChromium } from "../platforms/tools.ts";

/** The machine's browser, by the tools of the platform suite. */
export async function launch(): Promise<Browser> {
  await installTools();
  return launchChromium<Browser>();
}

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
    await this.page.waitForFunction(() => !["loading", "writing", undefined].includes(document.body.dataset.phase));
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
}

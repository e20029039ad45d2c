import type { Instance } from "../place.ts";
import { launchChromium } from "../tools.ts";

/** The part of playwright-core that is used here. */
interface Browser {
  version(): string;
  newPage(): Promise<Page>;
  on(event: "disconnected", heard: () => void): void;
  close(): Promise<void>;
}
interface Page {
  goto(url: string): Promise<unknown>;
  on(event: "console", heard: (message: { type(): string; text(): string }) => void): void;
  on(event: "pageerror", heard: (error: Error) => void): void;
  on(event: "crash", heard: () => void): void;
}

export async function chromiumVersion(): Promise<string> {
  const browser = await launchChromium<Browser>();
  await browser.close();
  return browser.version();
}

/** A page in a browser of its own. Whatever it prints as an error counts as one. */
export async function openChromium(): Promise<Instance> {
  const browser = await launchChromium<Browser>();
  const page = await browser.newPage();
  return {
    async run(url) {
      const errors: string[] = [];
      const { promise, resolve } = Promise.withResolvers<void>();
      page.on("console", (message) => {
        // An optional file of a model is requested, and may be missing.
        const looked = message.text().startsWith("Failed to load resource: the server responded with a status of 404");
        if (message.type() === "error" && !looked) errors.push(message.text());
        if (message.text() === "lambent: end") resolve();
      });
      page.on("pageerror", (error) => {
        errors.push(error.message);
        resolve();
      });
      page.on("crash", () => {
        errors.push("the page crashed");
        resolve();
      });
      browser.on("disconnected", resolve);
      const { origin, pathname } = new URL(url);
      await page.goto(`${origin}/page?${pathname}`);
      await promise;
      return errors.length ? errors.join(" | ") : undefined;
    },
    close: () => browser.close(),
  };
}

/** The README's program in a page that Vite has built. */
import { launchChromium } from "../platforms/tools.ts";

interface Page {
  on(event: "console", listener: (message: { type(): string; text(): string }) => void): void;
  on(event: "pageerror", listener: (error: Error) => void): void;
  goto(url: string): Promise<unknown>;
}
interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

/** Opens a page in headless Chromium: what it logs first. Throws with its first error. */
export async function inChromium(url: string): Promise<string> {
  const browser = await launchChromium<Browser>();
  try {
    const page = await browser.newPage();
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    page.on("console", (message) => {
      if (message.type() === "error") reject(new Error(message.text()));
      else resolve(message.text());
    });
    page.on("pageerror", reject);
    await page.goto(url);
    return await promise;
  } finally {
    await browser.close();
  }
}

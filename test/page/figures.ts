/**
 * Pictures of the page for docs/figures.
 *
 *     bun test/page/figures.ts [DIR]
 */
import { join } from "node:path";
import { serveSite } from "../../examples/browser/server.ts";
import { buildSite } from "../../examples/browser/site.ts";
import { ROOT } from "../setup.ts";
import { launch, Reader } from "./browser.ts";

const PICTURES = [
  { name: "wide-light", colorScheme: "light", width: 1280, height: 860, tokens: 1600 },
  { name: "wide-dark", colorScheme: "dark", width: 1280, height: 860, tokens: 1600 },
  { name: "narrow-dark", colorScheme: "dark", width: 360, height: 800, tokens: 1600 },
  { name: "narrow-light", colorScheme: "light", width: 360, height: 800, tokens: 1600 },
  { name: "beside-full", colorScheme: "light", width: 1280, height: 1240, tokens: 3000, beside: true },
] as const;

const folder = process.argv[2] ?? join(ROOT, "docs/figures");
const server = serveSite(await buildSite(true), true, 0);
const browser = await launch();
for (const { name, colorScheme, width, height, tokens, ...more } of PICTURES) {
  const page = await browser.newPage({ colorScheme, viewport: { width, height }, deviceScaleFactor: 1 });
  const reader = new Reader(page);
  await reader.open(server.url);
  await reader.set("seed", "7");
  if ("beside" in more) await reader.set("beside", true);
  await page.locator("#settings").evaluate((element) => element.removeAttribute("open"));
  await reader.write(tokens);
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.screenshot({ path: join(folder, `page-${name}.png`) });
  await page.close();
}
await browser.close();
await server.stop(true);

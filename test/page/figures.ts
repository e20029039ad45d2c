/**
 * Pictures of the page for docs/figures.
 *
 *     bun test/page/figures.ts [DIR]
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serveSite } from "../../examples/browser/server.ts";
import { buildSite } from "../../examples/browser/site.ts";
import { ROOT } from "../setup.ts";
import { launch, Reader } from "./browser.ts";

const PICTURES = [
  { name: "wide-light", colorScheme: "light", width: 1280, height: 960, tokens: 1600 },
  { name: "wide-dark", colorScheme: "dark", width: 1280, height: 960, tokens: 1600 },
  { name: "narrow-dark", colorScheme: "dark", width: 360, height: 800, tokens: 1600 },
  { name: "narrow-light", colorScheme: "light", width: 360, height: 800, tokens: 1600 },
  { name: "beside-full", colorScheme: "light", width: 1280, height: 1440, tokens: 3000, beside: true },
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
  await page.evaluate(() => {
    (document.activeElement as HTMLElement).blur();
    scrollTo({ top: 0, behavior: "instant" });
  });
  const picture = await page.screenshot();
  // The browser itself makes the smaller file.
  const webp = await page.evaluate(async (png) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d")?.drawImage(image, 0, 0);
    return [...(await (await canvas.convertToBlob({ type: "image/webp", quality: 0.75 })).bytes())];
  }, picture.toString("base64"));
  await writeFile(join(folder, `page-${name}.webp`), Uint8Array.from(webp));
  await page.close();
}
await browser.close();
await server.stop(true);

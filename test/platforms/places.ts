/** The seven places. */

import type { Bundles } from "./bundle.ts";
import { command } from "./command.ts";
import type { Place } from "./place.ts";
import { chromiumVersion, openChromium } from "./places/chromium.ts";
import { openProcess } from "./places/process.ts";
import { openWorkerd } from "./places/workerd.ts";
import { denoPath, nodePath, toolVersion } from "./tools.ts";

export const PLACES = ["bun", "deno", "node22", "node24", "chromium-isolated", "chromium", "workerd"] as const;
export type PlaceName = (typeof PLACES)[number];

/** A place, as far as this machine has it. Throws with what is missing. */
export async function findPlace(name: PlaceName, project: string, bundles: Bundles): Promise<Place> {
  const inProcess = (title: string, words: readonly string[]): Place => ({
    ...{ name, title, threads: 2, directories: true },
    open: async () => openProcess([...words, bundles.command], project),
  });
  switch (name) {
    case "bun":
      return inProcess(`Bun ${Bun.version}`, [process.execPath]);
    case "deno": {
      const deno = denoPath();
      const version = (await command([deno, "--version"], project)).match(/[\d.]+/)?.[0];
      return inProcess(`Deno ${version}`, [deno, "run", "--allow-all", "--no-lock", "--quiet"]);
    }
    case "node22":
    case "node24": {
      const node = nodePath(name === "node22" ? 22 : 24);
      const version = (await command([node, "--version"], project)).trim().slice(1);
      return inProcess(`Node ${version}`, [node]);
    }
    case "chromium-isolated":
    case "chromium": {
      const isolated = name === "chromium-isolated";
      const title = `Chromium ${await chromiumVersion()}${isolated ? ", isolated" : ""}`;
      return { name, title, threads: isolated ? 2 : 1, directories: false, isolated, open: openChromium };
    }
    case "workerd":
      return {
        ...{ name, title: `workerd ${toolVersion("workerd")}`, threads: 1, directories: false },
        open: () => openWorkerd(bundles.worker),
      };
  }
}

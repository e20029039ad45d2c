/** The command's flags. */
import { parseArgs } from "node:util";
import { PLACES, type PlaceName } from "./places.ts";

export interface Options {
  readonly places: readonly PlaceName[];
  /** Fewer cases and stories: what CI runs. */
  readonly quick: boolean;
  /** The speed table instead of the suite. */
  readonly speed: boolean;
}

const USAGE = `usage: npm run platforms -- [--quick] [--speed] [--places ${PLACES.join(",")}]`;

/** Throws with the usage if the flags are wrong. */
export function readOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: { quick: { type: "boolean" }, speed: { type: "boolean" }, places: { type: "string" } },
    });
    const { quick = false, speed = false, places = PLACES.join() } = values;
    const wrong = places.split(",").find((name) => !(PLACES as readonly string[]).includes(name));
    if (wrong !== undefined) throw new Error(`--places: expected some of ${PLACES.join(",")}, found ${wrong}`);
    return { quick, speed, places: places.split(",") as PlaceName[] };
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`);
  }
}

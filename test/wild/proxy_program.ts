/** Asks for a file of a host that does not exist, and prints what came. */
import "../../src/entry/index.ts";
import { currentRuntime } from "../../src/runtime/index.ts";

const files = await (await currentRuntime()).find("http://models.invalid/small", {});
const signal = AbortSignal.timeout(60_000);
await Promise.race([
  files.open("config.json"),
  new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(new Error("nothing came")))),
]).then(
  (source) => console.log(`found ${source?.size} bytes`),
  (error: Error) => console.log(error.message),
);
process.exit(0);

/** Loads a model with four threads, uses it, and prints how much CPU the process takes in the 4 s after; run by load.test.ts. */
import { load } from "../../src/entry/index.ts";

const model = await load(process.argv[2] as string, { threads: 4 });
const session = await model.session();
// In the second text, all threads have started.
for (let i = 0; i < 2; i++) {
  await session.generate("It was late", { maxNewTokens: 20 }).text();
  await Bun.sleep(500);
}
const before = process.cpuUsage();
await Bun.sleep(4000);
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ threads: model.info.threads, seconds: (user + system) / 1e6 }));

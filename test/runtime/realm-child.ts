/**
 * Puts classes of another realm into the global, as test runners with jsdom do, and then uses the library; run by
 * realm.test.ts. Arguments: "here" or "worker", then the names of the classes.
 */
import { runInNewContext } from "node:vm";

const [place, ...names] = process.argv.slice(2);
const MODEL = "models/lambent-llama-5m";
const url = new URL(MODEL, `file://${process.cwd()}/`);
for (const name of names) {
  Object.assign(globalThis, { [name]: name === "URL" ? otherURL() : runInNewContext(name) });
}
const { engineInfo, filesFromStreams, load } = await import("../../src/entry/index.ts");

/** A class that is no URL's, with its looks; node:vm has none of its own. */
function otherURL(): unknown {
  return class URL extends globalThis.URL {};
}

const options = { threads: 2, worker: place === "worker" };
const model = await load(MODEL, options);
const control = new AbortController();
const generation = model.generate("The letter", { maxNewTokens: 5, temperature: 0, signal: control.signal });
const session = await model.session();
await session.append("Once");
const restored = await model.restore(await session.snapshot());
const texts = [await generation.text(), (await restored.logits())?.length === (await session.logits())?.length];
const refused = await load("./nowhere").catch((error) => `${error.name}: ${error.message}`);
const foreign = await load(url, options);
const kernels = { "single-plain": await Bun.file("build/single-plain.wasm").arrayBuffer() };
const given = await load(MODEL, { ...options, kernels });
const broken = filesFromStreams("broken", {
  "config.json": {
    size: 9,
    open: () => {
      throw runInNewContext("new Error('no such stream')");
    },
  },
});
const unread = await load(broken).catch((error) => error.message);
const { reasons } = await engineInfo(options);
console.log(JSON.stringify({ texts, refused, unread, info: [foreign.info.model, given.info.kernels, reasons.at(-1)] }));
process.exit(0);

/**
 * A page that goes on with a session of 100,000s of tokens: segments and snapshot are fetched, segments written to the origin
 * private file system, and a question is asked, as in recall.ts. Posts what that takes to /result.
 */
import { load } from "../../src/entry/browser.ts";
import { answer } from "./recall_answer.ts";

const post = (path: string, body: unknown) => fetch(path, { method: "POST", body: JSON.stringify(body) });

async function run() {
  const { where, options, segments, rounds } = await (await fetch("/setting.json")).json();
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("log", { create: true });
  for (const name of segments) {
    const file = await folder.getFileHandle(name, { create: true });
    const { body } = await fetch(`/${name}`);
    await body?.pipeTo(await file.createWritable());
  }
  const { recall: _, ...without } = options;
  const plain = await load(where, without);
  const model = await load(where, { ...options, recallStore: "log" });
  const start = performance.now();
  const session = await model.restore(new Uint8Array(await (await fetch("/snapshot")).arrayBuffer()));
  const restoreMs = performance.now() - start;
  const other = await plain.session({ seed: 1 });
  await other.append(Array.from({ length: 2 * options.nLocal }, (_, i) => 1000 + i));
  const [cold, warm, alone]: number[][] = [[], [], []];
  let text = "";
  for (let round = 0; round < rounds; round++) {
    await post("/drop", {});
    cold?.push((await answer(session)).ms);
    const found = await answer(session);
    warm?.push(found.ms);
    text = found.text;
    alone?.push((await answer(other)).ms);
  }
  const browser = navigator.userAgent.match(/Chrome\/\d+/)?.[0];
  return { browser, restoreMs, cold, warm, alone, text };
}

run().then(
  (result) => post("/result", { result }),
  (error) => post("/result", { error: `${error}` }),
);

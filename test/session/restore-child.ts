/** Goes on from a snapshot and prints how; run by snapshot.test.ts. Arguments: model, snapshot file, options as JSON. */
import { load } from "../../src/entry/index.ts";

const [folder = "", file = "", options = ""] = process.argv.slice(2);
const { load: loading, options: generating } = JSON.parse(options);
const session = await (await load(folder, loading)).restore(await Bun.file(file).bytes());
const generation = session.generate(undefined, generating);
const ids: number[] = [];
let text = "";
for await (const token of generation.tokens()) {
  ids.push(token.id);
  text += token.text;
}
const { logitsHash, finishReason } = await generation.result;
console.log(JSON.stringify({ ids, text, logitsHash, finishReason, length: session.length }));

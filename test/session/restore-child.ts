/** Goes on from a snapshot and prints how; run by snapshot.test.ts. Arguments: model, snapshot file, options as JSON. */
import { load } from "../../src/entry/index.ts";

const [folder = "", file = "", options = ""] = process.argv.slice(2);
const { load: loading, options: generating } = JSON.parse(options);
const session = await (await load(folder, loading)).restore(await Bun.file(file).bytes());
const generation = session.generate(undefined, generating);
const ids: number[] = [];
for await (const { id } of generation.tokens()) ids.push(id);
const { text, logitsHash, finishReason } = await generation.result;
console.log(JSON.stringify({ ids, text, logitsHash, finishReason, length: session.length }));

/** A single executable that tells a story with the model inside it. */

// Dynamic imports: Bun would put static ones into the entry file, whose relative URLs do not resolve.
const { load } = await import("lambent");
const { embedded } = await import("lambent/embedded");

const prompt = process.argv[2] ?? "It was late in the evening when the old captain came home.";
const model = await load(embedded);
const generation = model.generate(prompt, { maxNewTokens: 100, seed: 7 });
process.stdout.write(prompt);
for await (const piece of generation) process.stdout.write(piece);
const { logitsHash } = await generation.result;
console.log(`\n(${model.info.runtime}, ${model.info.threads} threads, logits ${logitsHash})`);
model.dispose();

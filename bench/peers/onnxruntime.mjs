// Matrix products in onnxruntime-web: node onnxruntime.mjs <threads> <folder> <shape>... Each shape is "N K"; its model
// lies in <folder>/N-K.onnx. Prints { "N K": [ms for one row, ms for 128 rows] }.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [threads, folder, ...shapes] = process.argv.slice(2);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
ort.env.wasm.numThreads = Number(threads);
ort.env.logLevel = "error";
const times = {};
for (const shape of shapes) {
  const [rows, columns] = shape.split(" ").map(Number);
  const model = readFileSync(`${folder}/${rows}-${columns}.onnx`);
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  times[shape] = [];
  for (const [count, rounds] of [
    [1, 15],
    [128, 4],
  ]) {
    const x = new ort.Tensor("float32", new Float32Array(count * columns).fill(0.1), [count, columns]);
    const each = [];
    for (let round = 0; round <= rounds; round++) {
      const begun = performance.now();
      await session.run({ x });
      each.push(performance.now() - begun);
    }
    times[shape].push(median(each.slice(1)));
  }
  await session.release();
}
console.log(JSON.stringify(times));
process.exit(0);

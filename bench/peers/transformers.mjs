// transformers.js in a page: /?threads=&prompt=&new=&rounds=&vocab=&dtype=, the model under /model/. Posts tokens per second.
import { AutoModelForCausalLM, env, Tensor } from "/node_modules/@huggingface/transformers/dist/transformers.min.js";

const query = new URLSearchParams(location.search);
const parameter = (name) => Number(query.get(name));
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const post = (body) => fetch("/result", { method: "POST", body: JSON.stringify(body) });

try {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/node_modules/onnxruntime-web/dist/";
  env.backends.onnx.wasm.numThreads = parameter("threads");
  const model = await AutoModelForCausalLM.from_pretrained("model", { device: "wasm", dtype: query.get("dtype") });
  const [prefill, decode] = [[], []];
  const generate = async (count, fresh) => {
    const ids = BigInt64Array.from({ length: count }, (_, i) => BigInt((400 + i * 7919) % parameter("vocab")));
    const ones = new BigInt64Array(count).fill(1n);
    const times = [];
    await model.generate({
      ...{ input_ids: new Tensor("int64", ids, [1, count]), attention_mask: new Tensor("int64", ones, [1, count]) },
      ...{ max_new_tokens: fresh, min_new_tokens: fresh, do_sample: false },
      // Called with the prompt as soon as generation begins, then with every new token.
      streamer: { put: () => times.push(performance.now()), end() {} },
    });
    return times;
  };
  await generate(8, 2);
  for (let round = 0; round < parameter("rounds"); round++) {
    const times = await generate(parameter("prompt"), parameter("new"));
    if (times.length !== parameter("new") + 1) throw new Error(`${times.length} calls of the streamer`);
    prefill.push((parameter("prompt") / (times[1] - times[0])) * 1000);
    decode.push(1000 / median(times.slice(2).map((time, i) => time - times[i + 1])));
  }
  const note = navigator.userAgent.match(/Chrome\/\d+/)?.[0];
  await post({ result: { prefill: median(prefill), decode: median(decode), note } });
} catch (error) {
  await post({ error: `${error}` });
}

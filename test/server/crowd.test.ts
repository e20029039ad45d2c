/** Many clients at once, who leave, ask for nonsense and talk long: each gets what it gets alone. With FULL=1 for ten minutes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Dice } from "../kernels/harness.ts";
import { type Json, json, NAME, post, type Started, start, until } from "./serving.ts";

const SECONDS = process.env.FULL ? 600 : 4;
const CLIENTS = 64;
setDefaultTimeout(1000 * SECONDS + 240_000);

let started: Started;
beforeAll(async () => {
  started = await start({ maxSessions: 16, maxQueued: CLIENTS }, { maxSessions: 16, nLocal: 128, worker: true });
});
afterAll(() => started.stop());

const WORDS = [
  "the captain",
  "came home",
  "late",
  "and his sister",
  "said nothing",
  "of the letter",
  "to",
  "Mr. Brown",
];

/** A request of a stream whose answer is always the same: one turn or several, some of them longer than the window. */
function requestOf(seed: number) {
  const dice = new Dice(seed);
  const text = (most: number) => Array.from({ length: 1 + dice.below(most) }, () => WORDS[dice.below(8)]).join(" ");
  const turns = 1 + 2 * dice.below(3);
  const messages = Array.from({ length: turns }, (_, i) => {
    return { role: i % 2 ? "assistant" : "user", content: text(dice.below(4) ? 12 : 60) };
  });
  const sampling = dice.below(3) ? { temperature: 1.2, seed } : { temperature: 0 };
  return { model: NAME, messages, stream: true, max_tokens: 1 + dice.below(40), ignore_eos: true, ...sampling };
}

const WRONG: Record<string, unknown>[] = [
  { temperature: -1 },
  { messages: "hello" },
  { n: 2 },
  { max_tokens: 0 },
  { response_format: { type: "json_schema", json_schema: { schema: { pattern: "(?=a)" } } } },
];

/** What a stream said, chunk by chunk, and the longest pause between two, in ms. */
async function read(response: Response, most = Infinity): Promise<{ text: string; gap: number }> {
  expect(response.status).toBe(200);
  let [text, rest, gap, last] = ["", "", 0, 0];
  let left = most;
  for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
    const now = performance.now();
    if (last) gap = Math.max(gap, now - last);
    const blocks = (rest + bytes).split("\n\n");
    rest = blocks.pop() as string;
    for (const block of blocks) {
      if (!block.startsWith("data: {")) continue;
      const { choices, error }: Json = JSON.parse(block.slice(6));
      if (error) throw new Error(`an error in a stream: ${block}`);
      const said = choices[0]?.delta.content ?? "";
      if (said !== "") last = now;
      text += said;
    }
    // To leave the loop is to leave the stream.
    if (left-- <= 0) break;
  }
  return { text, gap };
}

test(`${CLIENTS} clients: what each gets alone, no error but those asked for, memory flat`, async () => {
  const { url, model } = started;
  const ask = (body: unknown, init?: RequestInit) => post(`${url}/v1/chat/completions`, body, init);
  const requests = Array.from({ length: 24 }, (_, i) => requestOf(i));
  const alone: string[] = [];
  for (const request of requests) alone.push((await read(await ask(request))).text);

  const counts = { answers: 0, left: 0, wrong: 0 };
  let longest = 0;
  const ending = performance.now() + 1000 * SECONDS;
  const client = async (number: number) => {
    const dice = new Dice(1000 + number);
    do {
      const kind = dice.below(20);
      const i = dice.below(requests.length);
      if (kind < 13) {
        const { text, gap } = await read(await ask(requests[i]));
        expect(text).toBe(alone[i] as string);
        longest = Math.max(longest, gap);
        counts.answers++;
      } else if (kind < 15) {
        await read(await ask(requests[i]), dice.below(5));
        counts.left++;
      } else if (kind < 17) {
        const leaving = new AbortController();
        const asked = ask({ ...requests[i], stream: false }, { signal: leaving.signal }).catch(() => undefined);
        await Bun.sleep(dice.below(200));
        leaving.abort();
        await asked;
        counts.left++;
      } else {
        const response = await ask({ ...requests[i], ...WRONG[dice.below(WRONG.length)] });
        expect({ status: response.status, ...(await json(response)) }).toMatchObject({ status: 400, error: {} });
        counts.wrong++;
      }
    } while (performance.now() < ending);
  };
  const memories: number[] = [];
  const watch = setInterval(() => memories.push(process.memoryUsage.rss()), 250 * SECONDS);
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  clearInterval(watch);
  const bytes = await model.memory();
  const quarters = memories.map((rss) => `${Math.round(rss / 1e6)}`).join(", ");
  console.log(
    `${counts.answers} answers, ${counts.left} left, ${counts.wrong} refused; longest gap ${Math.round(longest)} ms; resident MB at each quarter ${quarters}`,
  );
  expect(Object.values(counts).every((count) => count > 0)).toBe(true);
  // All is given back, and the same again takes no more.
  await until(async () => !/lambent_sessions_open\{[^}]*\} [1-9]/.test(await (await fetch(`${url}/metrics`)).text()));
  await Promise.all(requests.map(async (request, i) => expect((await read(await ask(request))).text).toBe(alone[i]!)));
  expect(await model.memory()).toBe(bytes);
});

/**
 * Three replicas over one store, requests of one session dealt at random, replicas killed meanwhile: every turn has the
 * text that an undisturbed server gives. FULL=1: for three minutes, with a kill every 20 s.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChildren, readUntil, start } from "../cli/run.ts";
import { type Json, post } from "../server/serving.ts";
import { POSTGRES, REDIS, startPostgres, startRedis, stopServices } from "./services.ts";

const FULL = process.env.FULL === "1";
/** Turns of each session; with FULL=1 there is time for several of the same. */
const TURNS = FULL ? 60 : 4;
const KILL_EVERY_MS = 20_000;
const LAST_MS = FULL ? 180_000 : 0;
const SESSIONS = 3;

let last = 0;
/** Numbers that look random, the same each time. */
function random(below: number): number {
  last = (Math.imul(last, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((last / 2 ** 32) * below);
}

/** A server in a process of its own. */
interface Replica {
  readonly url: string;
  kill(): Promise<void>;
}

async function startReplica(...flags: readonly string[]): Promise<Replica> {
  const child = start(
    ["serve", "--port", "0", "--threads", "1", "--parallel", "8", "--log", "none", ...flags],
    "ignore",
  );
  const errors = child.stderr.getReader();
  const begin = await readUntil(errors, (text) => /^listening on .*\n/m.test(text));
  const url = begin.match(/listening on (.*)/)?.[1];
  if (!url) throw new Error(`serve: ${begin}`);
  return {
    url,
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** What happened in all sessions. */
interface Tally {
  turns: number;
  /** Requests that were sent again, as their server was killed. */
  again: number;
  /** Statuses other than 200. */
  readonly refused: Json[];
  cached: number;
  read: number;
}

const ASKED = ["Who is there?", "And then?", "Why did the captain say so?", "What did she see?", "Tell me of the sea."];
const bodyOf = (session: number, turn: number) => ({
  input: `${ASKED[(session + turn) % ASKED.length]} (${turn})`,
  instructions: session % 2 ? undefined : "The captain and his sister sat over the shop.",
  max_output_tokens: 6 + ((session + turn) % 5),
  seed: 100 * session + turn,
  temperature: 0.8,
  truncation: "auto",
});

/** Asks until there is an answer: a server that is killed gives none. */
async function ask(pick: () => string, path: string, body: object, tally: Tally): Promise<Json> {
  for (;;) {
    try {
      const response = await post(`${pick()}${path}`, body);
      const answer: Json = await response.json();
      if (response.status === 200) return answer;
      tally.refused.push({ status: response.status, answer });
      throw new Error(JSON.stringify(answer));
    } catch (error) {
      if (tally.refused.length > 0) throw error;
      tally.again++;
      await Bun.sleep(20);
    }
  }
}

/** The next turn of a session, by the response before it or with all messages. */
class Talk {
  readonly texts: string[] = [];
  readonly #session: number;
  readonly #messages: object[] = [];
  #id: string | undefined;

  constructor(session: number) {
    this.#session = session;
  }

  async next(pick: () => string, tally: Tally): Promise<void> {
    const { input, instructions, max_output_tokens, ...how } = bodyOf(this.#session, this.texts.length);
    if (this.#session === SESSIONS - 1) {
      if (instructions && this.#messages.length === 0) this.#messages.push({ role: "system", content: instructions });
      this.#messages.push({ role: "user", content: input });
      const body = { ...how, messages: this.#messages, max_tokens: max_output_tokens };
      const { choices, usage } = await ask(pick, "/v1/chat/completions", body, tally);
      this.#count(choices[0].message.content, usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, tally);
      this.#messages.push(choices[0].message);
    } else {
      const body = { ...how, input, instructions, max_output_tokens, previous_response_id: this.#id };
      const { id, store, output, usage } = await ask(pick, "/v1/responses", body, tally);
      expect(store).toBe(true);
      this.#count(output[0].content[0].text, usage.input_tokens, usage.input_tokens_details.cached_tokens, tally);
      this.#id = id;
    }
  }

  #count(text: string, tokens: number, cached: number, tally: Tally): void {
    this.texts.push(text);
    tally.turns++;
    tally.cached += cached;
    tally.read += tokens - cached;
  }
}

const newTally = (): Tally => ({ turns: 0, again: 0, refused: [], cached: 0, read: 0 });

/** What an undisturbed server answers. */
let alone: readonly (readonly string[])[] = [];
beforeAll(async () => {
  const server = await startReplica();
  const talks = Array.from({ length: SESSIONS }, (_, session) => new Talk(session));
  for (let turn = 0; turn < TURNS; turn++) for (const talk of talks) await talk.next(() => server.url, newTally());
  alone = talks.map(({ texts }) => texts);
  await server.kill();
});
afterEach(endChildren);
afterAll(stopServices);

/** Sessions over three replicas at `store`, of which `kills` are killed, or one every so often. */
async function disturbed(store: string): Promise<void> {
  const begin = () => startReplica("--store", store);
  const replicas: (Replica | undefined)[] = await Promise.all([begin(), begin(), begin()]);
  let victim: Replica | undefined;
  const pick = () => {
    if (victim) return victim.url;
    const living = replicas.filter((replica) => replica !== undefined);
    return (living[random(living.length)] as Replica).url;
  };
  const tally = newTally();
  let kills = 0;
  /** Kills a replica that all ask, and starts another one in its place. */
  const kill = async () => {
    const place = kills++ % 3;
    victim = replicas[place] as Replica;
    await Bun.sleep(random(200));
    await victim.kill();
    replicas[place] = undefined;
    victim = undefined;
    replicas[place] = await begin();
  };
  const started = performance.now();
  let killing: Promise<void> = Promise.resolve();
  const talk = async (session: number, killsOwn: boolean) => {
    do {
      const talk = new Talk(session);
      for (let turn = 0; turn < TURNS; turn++) {
        if (killsOwn && [1, 2].includes(turn)) killing = killing.then(kill);
        await talk.next(pick, tally);
        expect(talk.texts[turn]).toBe(alone[session]?.[turn] as string);
      }
    } while (performance.now() - started < LAST_MS);
  };
  const timer = FULL ? setInterval(() => (killing = killing.then(kill)), KILL_EVERY_MS) : undefined;
  try {
    await Promise.all(alone.map((_, session) => talk(session, session === 0 && !FULL)));
  } finally {
    clearInterval(timer);
    await killing;
  }
  expect(kills).toBeGreaterThanOrEqual(2);
  expect(tally.refused).toEqual([]);
  expect(tally.turns).toBeGreaterThanOrEqual(SESSIONS * TURNS);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const { turns, again, cached, read } = tally;
  console.log(
    `${turns} turns in ${seconds} s, ${kills} kills, ${again} sent again, ${cached} tokens cached, ${read} read`,
  );

  // Two that go on from one response at once are two conversations.
  const first = await ask(pick, "/v1/responses", { ...bodyOf(0, 0) }, tally);
  const both = [1, 2, 1].map((turn) => ({ ...bodyOf(0, turn), previous_response_id: first.id }));
  const texts = await Promise.all(
    both.map(async (body) => (await ask(pick, "/v1/responses", body, tally)).output[0].content[0].text),
  );
  expect([texts[0], texts[2]]).toEqual([alone[0]?.[1], alone[0]?.[1]] as string[]);
  expect(texts[1]).not.toBe(texts[0]);
}

const TIMEOUT = LAST_MS + 240_000;

test(
  "file system",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "lambent-replicas-"));
    try {
      await disturbed(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  TIMEOUT,
);

describe.skipIf(!REDIS)("", () => {
  test("Redis", async () => disturbed((await startRedis()).url), TIMEOUT);
});

describe.skipIf(!POSTGRES)("", () => {
  test("PostgreSQL", async () => disturbed((await startPostgres()).url), TIMEOUT);
});

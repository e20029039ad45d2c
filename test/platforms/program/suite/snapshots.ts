import type { Session } from "lambent";
import { type Case, expect, hash, LLAMA, refusal, type Setting, withModel } from "./case.ts";

const SAMPLING = { temperature: 0.8, maxNewTokens: 20, ignoreEos: true } as const;

async function goOn(session: Session) {
  const generation = session.generate(undefined, SAMPLING);
  const text = await generation.text();
  return { text, logitsHash: (await generation.result).logitsHash };
}

/** What travels: of constant size, the same bytes everywhere, restored bit for bit, and refused in the same words. */
export function snapshots(setting: Setting): Case[] {
  const begin = setting.novel.slice(0, 300);
  return [
    {
      name: "snapshot: restored and forked bit for bit, and of constant size",
      run: () =>
        withModel(setting, LLAMA, { maxSessions: 4 }, async (model) => {
          const session = await model.session({ seed: 5 });
          await session.append(begin);
          const first = await goOn(session);
          const bytes = await session.snapshot();
          const fork = await session.fork();
          const restored = await model.restore(bytes);
          expect("length of the restored", session.length, restored.length);
          const wanted = await goOn(session);
          expect("the restored", wanted, await goOn(restored));
          expect("the fork", wanted, await goOn(fork));
          const later = await restored.snapshot();
          expect("snapshot of the one that was not restored", hash(await session.snapshot()), hash(later));
          await session.append(setting.novel);
          const latest = await session.snapshot();
          expect("bytes of snapshots", [bytes.length, bytes.length], [later.length, latest.length]);
          return {
            first,
            wanted,
            size: bytes.length,
            hashes: [bytes, later, latest].map(hash),
            length: session.length,
          };
        }),
    },
    {
      name: "snapshot: damaged ones are refused",
      run: () =>
        withModel(setting, "llama-gqa-tied", { nLocal: 8, nGlobal: 3, maxSessions: 2 }, async (model) => {
          const session = await model.session({ seed: 3 });
          await session.append([1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
          const bytes = await session.snapshot();
          session.dispose();
          const flipped = (at: number) => bytes.map((byte, i) => (i === at ? byte ^ 64 : byte));
          const header = 8 + Number(new DataView(bytes.buffer).getUint32(0, true));
          const flips = [0, 9, header >> 1, header + 3, bytes.length >> 1, bytes.length - 9, bytes.length - 1];
          const cuts = [0, 7, 8, header - 1, header, bytes.length >> 1, bytes.length - 1];
          const damaged = [
            ...flips.map(flipped),
            ...cuts.map((length) => bytes.slice(0, length)),
            Uint8Array.from([...bytes, 0]),
            new TextEncoder().encode("{}"),
          ];
          const messages: string[] = [];
          for (const bad of damaged) messages.push(await refusal(setting, () => model.restore(bad)));
          const others = [
            ["llama-mha", {}],
            ["llama-gqa-tied", { nGlobal: 2 }],
            ["llama-gqa-tied", { cacheDtype: "int8" }],
          ] as const;
          for (const [name, options] of others) {
            const restore = () =>
              withModel(setting, name, { nLocal: 8, nGlobal: 3, ...options }, (other) => other.restore(bytes));
            messages.push(await refusal(setting, restore));
          }
          (await model.restore(bytes)).dispose();
          return messages;
        }),
    },
  ];
}

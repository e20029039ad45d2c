import { type Case, expect, MODELS, type Setting, withModel } from "./case.ts";

const SAMPLING = { seed: 11, temperature: 0.8, maxNewTokens: 60, ignoreEos: true } as const;

/** Below nLocal, Λ is full attention, bit for bit; beyond it, it is not. */
export function lambda(setting: Setting): Case[] {
  const hashes = (name: string, nLocal: number) =>
    Promise.all(
      (["lambda", "full"] as const).map((attention) =>
        withModel(setting, name, { attention, nLocal }, async (model) => {
          const generation = model.generate(setting.novel.slice(0, 400), SAMPLING);
          await generation.text();
          return (await generation.result).logitsHash;
        }),
      ),
    );
  return MODELS.map((name) => ({
    name: `lambda: ${name} below nLocal`,
    async run() {
      const [below, full] = await hashes(name, 512);
      expect("logitsHash", full, below);
      const [beyond] = await hashes(name, 32);
      if (beyond === full) throw new Error("beyond nLocal: expected another logitsHash, found the same");
      return [below, beyond];
    },
  }));
}

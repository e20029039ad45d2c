/** The conformance suite: the same cases in every place. */
import { engineInfo } from "lambent";
import type { Host } from "./job.ts";
import type { Material } from "./material.ts";
import { bits } from "./suite/bits.ts";
import type { Case, CaseResult, Setting } from "./suite/case.ts";
import { engine } from "./suite/engine.ts";
import { errors } from "./suite/errors.ts";
import { goldens } from "./suite/goldens.ts";
import { lambda } from "./suite/lambda.ts";
import { snapshots } from "./suite/snapshots.ts";
import { tokenizers } from "./suite/tokenizers.ts";
import { ways } from "./suite/ways.ts";

const THEMES: readonly ((setting: Setting) => Case[])[] = [
  engine,
  goldens,
  lambda,
  tokenizers,
  snapshots,
  errors,
  bits,
  ways,
];

export interface SuiteOptions {
  readonly quick: boolean;
  readonly threads: 1 | 2;
  readonly directory?: string;
}

export type EngineInfo = Awaited<ReturnType<typeof engineInfo>>;

/** Reports every case; says in the end what runs here. */
export async function suite(options: SuiteOptions, host: Host): Promise<EngineInfo> {
  const material = (await (await fetch(`${host.base}models/material.json`)).json()) as Material;
  const setting = { ...material, ...options, directory: options.directory, host };
  for (const theme of THEMES) for (const one of theme(setting)) await host.report(await resultOf(one));
  return engineInfo({ threads: 2 });
}

async function resultOf({ name, same = name, absent, run }: Case): Promise<CaseResult> {
  if (absent !== undefined) return { name, same, absent };
  try {
    return { name, same, value: await run() };
  } catch (error) {
    return { name, same, wrong: error instanceof Error ? error.message : String(error) };
  }
}

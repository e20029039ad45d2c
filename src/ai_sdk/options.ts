import type { SharedV4ProviderOptions, SharedV4Warning } from "@ai-sdk/provider";

/** Options of this library among a call's, and warnings of those that it does not have. */
export interface OwnOptions {
  /** Values are checked where they are used. */
  readonly own: Readonly<Record<string, unknown>>;
  readonly warnings: SharedV4Warning[];
}

/** Takes `providerOptions.lambent`; `names` are those that have a meaning there. */
export function optionsOf(options: SharedV4ProviderOptions | undefined, names: readonly string[]): OwnOptions {
  const entries = Object.entries(options?.lambent ?? {}).filter(([, value]) => value !== undefined);
  const known = entries.filter(([name]) => names.includes(name));
  const unknown = entries.filter(([name]) => !names.includes(name));
  const details = `expected ${names.join(", ")}`;
  const warnings = unknown.map(([name]) => unsupported(`providerOptions.lambent.${name}`, details));
  return { own: Object.fromEntries(known), warnings };
}

/** What a call asks for and does not get. */
export function unsupported(feature: string, details: string): SharedV4Warning {
  return { type: "unsupported", feature, details };
}

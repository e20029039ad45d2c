/** The environment's proxy in errors: Bun and Deno use it by default, Node only if told to. */
import { shown } from "./address.ts";

/**
 * A remark about a failed connection; undefined if no proxy is set for the address. `uses`: whether this host uses one.
 */
export function proxyNote(url: URL, uses = usesProxies()): string | undefined {
  const name = variable(`${url.protocol.slice(0, -1)}_proxy`);
  if (!name || isExcepted(url)) return undefined;
  if (!uses) return `${name} is set, but Node uses it only with NODE_USE_ENV_PROXY=1, from 22.21 on`;
  return `through ${name}, ${shown(process.env[name] as string)}`;
}

/** The name under which a variable is set: lower case first, then upper case. */
function variable(name: string): string | undefined {
  return [name, name.toUpperCase()].find((one) => process.env[one]);
}

function usesProxies(): boolean {
  if ("Bun" in globalThis || "Deno" in globalThis) return true;
  const { NODE_USE_ENV_PROXY, NODE_OPTIONS = "" } = process.env;
  return NODE_USE_ENV_PROXY === "1" || [...process.execArgv, ...NODE_OPTIONS.split(/\s+/)].includes("--use-env-proxy");
}

/** Whether NO_PROXY contains the host: whole, by suffix, or with its port. */
function isExcepted({ hostname, host }: URL): boolean {
  const name = variable("no_proxy");
  const entries = (name ? (process.env[name] as string) : "").toLowerCase().split(/[\s,]+/);
  return entries.some((entry) => {
    const end = entry.replace(/^\*?\.?/, "");
    if (entry === "*") return true;
    return end !== "" && (hostname === end || host === end || hostname.endsWith(`.${end}`));
  });
}

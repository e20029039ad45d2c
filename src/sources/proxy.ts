/** The proxy of the environment, as it appears in errors: Bun and Deno use it by themselves, Node where it is told to. */
import { shown } from "./address.ts";

/** What to say of a connection that failed; undefined where no proxy is set for the address. `uses`: whether this host uses one. */
export function proxyNote(url: URL, uses = usesProxies()): string | undefined {
  const name = variable(`${url.protocol.slice(0, -1)}_proxy`);
  if (!name || isExcepted(url)) return undefined;
  if (!uses) return `${name} is set, but Node uses it only with NODE_USE_ENV_PROXY=1, from 22.21 on`;
  return `through ${name}, ${shown(process.env[name] as string)}`;
}

/** The name under which a variable is set: in small letters, or else in capitals. */
function variable(name: string): string | undefined {
  return [name, name.toUpperCase()].find((one) => process.env[one]);
}

function usesProxies(): boolean {
  if ("Bun" in globalThis || "Deno" in globalThis) return true;
  const { NODE_USE_ENV_PROXY, NODE_OPTIONS = "" } = process.env;
  return NODE_USE_ENV_PROXY === "1" || [...process.execArgv, ...NODE_OPTIONS.split(/\s+/)].includes("--use-env-proxy");
}

/** Whether NO_PROXY names the host: whole, by its end, or with its port. */
function isExcepted({ hostname, host }: URL): boolean {
  const name = variable("no_proxy");
  const entries = (name ? (process.env[name] as string) : "").toLowerCase().split(/[\s,]+/);
  return entries.some((entry) => {
    const end = entry.replace(/^\*?\.?/, "");
    if (entry === "*") return true;
    return end !== "" && (hostname === end || host === end || hostname.endsWith(`.${end}`));
  });
}

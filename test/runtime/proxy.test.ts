/** Proxies of the environment: what an error says of them. */
import { afterEach, expect, test } from "bun:test";
import { explainConnections } from "../../src/sources/network.ts";
import { proxyNote } from "../../src/sources/proxy.ts";
import { filesFromUrl } from "../../src/sources/url.ts";
import { refusal } from "./source_setup.ts";

const NAMES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "NODE_USE_ENV_PROXY"];
const saved = NAMES.map((name) => [name, process.env[name]] as const);
const set = (variables: Record<string, string>) => {
  for (const name of NAMES) delete process.env[name];
  Object.assign(process.env, variables);
};
afterEach(() => {
  explainConnections(proxyNote);
  set({});
  for (const [name, value] of saved) if (value !== undefined) process.env[name] = value;
});

const PROXY = "http://me:SECRET@proxy.test:3128";
const note = (url: string, uses: boolean) => proxyNote(new URL(url), uses);

test("the variable of the scheme, small letters first, unless NO_PROXY names the host", () => {
  set({ HTTPS_PROXY: PROXY });
  expect(note("https://a.test/", true)).toBe("through HTTPS_PROXY, http://proxy.test:3128");
  expect(note("http://a.test/", true)).toBeUndefined();
  set({ HTTPS_PROXY: PROXY, https_proxy: "http://other:1" });
  expect(note("https://a.test/", true)).toBe("through https_proxy, http://other:1");
  const excepted = (list: string, url = "https://a.b.test:8443/") => {
    set({ HTTPS_PROXY: PROXY, NO_PROXY: list });
    return note(url, true) === undefined;
  };
  for (const list of ["*", "a.b.test", ".b.test", "b.test", "*.b.test", "x, B.test", "x  test", "a.b.test:8443"])
    expect({ list, excepted: excepted(list) }).toEqual({ list, excepted: true });
  for (const list of ["", ".", "x.test", "bb.test", ".a.b.test.x", "a.b.test:443"])
    expect({ list, excepted: excepted(list) }).toEqual({ list, excepted: false });
});

test("a host that does not use it says what to set", () => {
  set({ HTTP_PROXY: PROXY });
  const expected = "HTTP_PROXY is set, but Node uses it only with NODE_USE_ENV_PROXY=1, from 22.21 on";
  expect(note("http://a.test/", false)).toBe(expected);
  expect(proxyNote(new URL("http://a.test/"))).toStartWith("through HTTP_PROXY");
});

test("the note is in the error of a connection that failed, or that is silent", async () => {
  explainConnections((url) => `note for ${url.host}`);
  const quick = { stall: 50, probe: 50, retries: 0, backoff: 1, patience: 20 };
  const failing = async () => {
    throw Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });
  };
  const open = (fetch: () => Promise<Response>) => filesFromUrl("http://a.test/", { fetch }, quick).open("config.json");
  expect(await refusal(open(failing))).toMatch(
    /expected an answer from a\.test, found ECONNREFUSED \(note for a\.test\)$/,
  );
  expect(await refusal(open(() => new Promise(() => {})))).toMatch(/within 0\.05 s, found none \(note for a\.test\)$/);
});

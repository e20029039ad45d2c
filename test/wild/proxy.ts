/**
 * Proxies of the environment in Node 22 and 24, Deno and Bun, in real processes: a model on a host that only a local proxy resolves.
 * Prints what each host found and exits with 1 on a difference.
 */
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { denoPath, installTools, nodePath } from "../platforms/tools.ts";

const USED = "found 2 bytes";
const NOTE = /found \w+ \(HTTP_PROXY is set, but Node uses it only with NODE_USE_ENV_PROXY=1, from 22\.21 on\)$/;
const THROUGH = /found .*\(through HTTP_PROXY, http:\/\/127\.0\.0\.1:1\)$/;

await installTools();
const asked: string[] = [];
/** Answers every request with two bytes, and every CONNECT as if it led somewhere. */
const proxy = createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (data) => {
    const first = `${data}`.split("\r\n")[0] as string;
    asked.push(first);
    if (first.startsWith("CONNECT ")) socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    else socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
  });
});
await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const here = `http://me:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
const nowhere = "http://me:secret@127.0.0.1:1";

const program = join(tmpdir(), `lambent-proxy-${process.pid}.mjs`);
const source = join(import.meta.dir, "proxy_program.ts");
const built = await Bun.build({ entrypoints: [source], target: "node", format: "esm" });
await Bun.write(program, (await built.outputs[0]?.text()) as string);

const node = (version: 22 | 24, ...more: string[]) => [nodePath(version), ...more, program];
const deno = [denoPath(), "run", "--allow-all", program];
const bun = [process.execPath, program];
const on = { NODE_USE_ENV_PROXY: "1" };
const cases: [string, string[], Record<string, string>, string | RegExp][] = [
  ["Node 22, told", node(22), { HTTP_PROXY: here, ...on }, USED],
  ["Node 24, told", node(24), { HTTP_PROXY: here, ...on }, USED],
  ["Node 24, told by a flag", node(24, "--use-env-proxy"), { http_proxy: here }, USED],
  ["Deno", deno, { HTTP_PROXY: here }, USED],
  ["Bun", bun, { HTTP_PROXY: here }, USED],
  ["Node 22, not told", node(22), { HTTP_PROXY: here }, NOTE],
  ["Node 24, not told", node(24), { HTTP_PROXY: here }, NOTE],
  ["Node 24, excepted", node(24), { HTTP_PROXY: here, NO_PROXY: ".invalid" }, /found ENOTFOUND$/],
  ["Node 24, a proxy that is not there", node(24), { HTTP_PROXY: nowhere, ...on }, THROUGH],
  ["Deno, a proxy that is not there", deno, { HTTP_PROXY: nowhere }, THROUGH],
  ["Bun, a proxy that is not there", bun, { HTTP_PROXY: nowhere }, THROUGH],
];
let wrong = 0;
for (const [name, command, variables, expected] of cases) {
  const env: Record<string, string> = { PATH: process.env.PATH ?? "", HOME: tmpdir(), NO_COLOR: "1", ...variables };
  const child = Bun.spawn(command, { env, stdout: "pipe", stderr: "ignore", stdin: "ignore" });
  const found = (await new Response(child.stdout).text()).trim();
  const right = typeof expected === "string" ? found === expected : expected.test(found) && !found.includes("secret");
  if (!right) wrong++;
  console.log(`${right ? "as expected" : "OTHERWISE"}  ${name}: ${found}`);
}
proxy.close();
await Bun.file(program).delete();
console.log(`${cases.length - wrong} of ${cases.length} as expected; ${asked.length} requests through the proxy`);
process.exit(wrong ? 1 : 0);

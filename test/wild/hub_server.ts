/** A hub, or a mirror of one: `bun hub_server.ts VARIANT` prints its address and serves until it is killed. */
import { gitSha1, HubServer, isLfs, sha256 } from "../runtime/hub-server.ts";
import { bytes, sharded, small } from "../runtime/hub-setup.ts";

const variant = process.argv[2];
const hub = await new HubServer().start();
const repo = variant === "sharded" ? sharded() : small();
if (variant === "folder")
  for (const [name, content] of Object.entries(repo.files)) repo.files[`a/b/${name}`] = content.slice(1);
repo.files["a/c.txt"] = bytes(5);
hub.repos["org/name"] = repo;
if (variant === "proxy") hub.prefix = "/repository/hf";
if (variant === "plain" || variant === "other-tags")
  hub.head = (file, headers) => {
    const content = repo.files[file] as Uint8Array;
    for (const name of ["location", "x-linked-size", "x-linked-etag"]) delete headers[name];
    headers.etag = isLfs(file) ? `"${sha256(content)}"` : `"${gitSha1(content)}"`;
    if (variant === "other-tags") headers.etag = `"5f3a-${content.length.toString(16)}"`;
    return undefined;
  };
console.log(hub.endpoint + hub.prefix);

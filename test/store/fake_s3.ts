/** As much of S3 as the store uses: objects with conditional writes, and lists of two keys at a time. */

export interface FakeS3 {
  /** Of the bucket. */
  readonly url: string;
  readonly keys: () => string[];
  stop(): Promise<void>;
}

const LIST = "/bucket/";

export function startFakeS3(): FakeS3 {
  const objects = new Map<string, { bytes: Uint8Array; etag: string; expires: string | null }>();
  async function answer(request: Request): Promise<Response> {
    const { method, headers } = request;
    const { pathname, searchParams } = new URL(request.url);
    if (!headers.get("authorization")?.startsWith("AWS4-HMAC-SHA256 Credential=KEY/")) {
      return new Response("<Code>AccessDenied</Code>", { status: 403 });
    }
    if (pathname === LIST) return list(searchParams.get("prefix") ?? "", searchParams.get("continuation-token") ?? "");
    const key = decodeURIComponent(pathname.slice(LIST.length));
    const bytes = method === "PUT" ? await request.bytes() : new Uint8Array();
    const there = objects.get(key);
    if (method === "PUT") {
      const [match, none] = [headers.get("if-match"), headers.get("if-none-match")];
      if (match && !there) return new Response("<Code>NoSuchKey</Code>", { status: 404 });
      if ((match && there?.etag !== match) || (none && there)) return new Response("", { status: 412 });
      const etag = `"${Bun.hash(bytes).toString(16)}"`;
      objects.set(key, { bytes, etag, expires: headers.get("x-amz-meta-expires") });
      return new Response(null, { headers: { etag } });
    }
    if (method === "DELETE") objects.delete(key);
    if (method === "DELETE") return new Response(null, { status: 204 });
    if (!there) return new Response(method === "HEAD" ? null : "<Code>NoSuchKey</Code>", { status: 404 });
    const { etag, expires } = there;
    const facts = { etag, ...(expires ? { "x-amz-meta-expires": expires } : {}) };
    return new Response(method === "HEAD" ? null : (there.bytes as Uint8Array<ArrayBuffer>), { headers: facts });
  }
  function list(prefix: string, after: string): Response {
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, 2);
    const more = keys.length > 2 ? `<NextContinuationToken>${page[1]}</NextContinuationToken>` : "";
    return new Response(`<List>${page.map((key) => `<Key>${key}</Key>`).join("")}${more}</List>`);
  }
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  const url = `http://127.0.0.1:${server.port}/bucket`;
  return { url, keys: () => [...objects.keys()], stop: () => server.stop(true) };
}

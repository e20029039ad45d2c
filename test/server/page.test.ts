import { expect, test } from "bun:test";
import { page } from "../../src/server/page.ts";

test("the page is whole: its script is one, and finds every element that it asks for", async () => {
  const response = page();
  expect(response.headers.get("content-type")).toStartWith("text/html");
  expect(response.headers.get("content-security-policy")).toContain("connect-src 'self'");
  const html = await response.text();
  const script = html.match(/<script>(.*)<\/script>/s)![1] as string;
  new Function(script);
  const asked = [...script.matchAll(/\bat\("(\w+)"\)/g)].map(([, id]) => id);
  expect(asked.length).toBeGreaterThan(5);
  for (const id of asked) expect(html).toContain(`id="${id}"`);
});

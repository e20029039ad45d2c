/**
 * Keeps the page and the model, so that both are there without a network. What it keeps is one version, named by a hash of
 * its content: a page and its workers never come from different ones.
 */
declare const self: ServiceWorkerGlobalScope;
declare const FILES: readonly string[];
declare const VERSION: string;

const KEPT = `lambent-${VERSION}`;

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", ({ data }) => {
  if (data === "take over") void self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

/** All or nothing, and nothing that the server has a newer one of. What has just been fetched is not sent again. */
async function keep(): Promise<void> {
  const cache = await caches.open(KEPT);
  const places = FILES.map((file) => (file === "index.html" ? "./" : file));
  await cache.addAll(places.map((place) => new Request(place, { cache: "no-cache" })));
}

async function takeOver(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith("lambent-") && name !== KEPT) await caches.delete(name);
  }
  await self.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(KEPT);
  // The page has one address, whatever is added to it.
  const place = request.url.replace(/(index\.html)?([?#].*)?$/, "");
  const kept = await cache.match(place === self.registration.scope ? place : request, { ignoreVary: true });
  return kept ?? fetch(request);
}

export {};

/**
 * Caches the page and the model for offline use. The cache holds one version, named by a hash of its content, so that a
 * page and its workers are always of the same version.
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

/** Caches all files or none, never a stale one. Files that were just fetched are not requested again. */
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
  // The page has one address, whatever its query.
  const place = request.url.replace(/(index\.html)?([?#].*)?$/, "");
  const kept = await cache.match(place === self.registration.scope ? place : request, { ignoreVary: true });
  return kept ?? fetch(request);
}

export {};

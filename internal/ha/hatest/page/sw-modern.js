// A service worker like Home Assistant's since 2026.11: bundles from the cache, navigations from the network first,
// and a page that was seen before where the network is slow, fails, or answers 404 or worse.
const bundles = "demo-bundles";
const pages = "demo-pages";
const patience = 3000;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

async function fromNetwork(request) {
  const kept = await (await caches.open(pages)).match(request, { ignoreSearch: true }) ?? await caches.match("/", { ignoreSearch: true });
  const asked = fetch(request).then(async (answer) => {
    if (answer.status === 200) await (await caches.open(pages)).put(new URL(request.url).pathname, answer.clone());
    return kept && (answer.status >= 500 || answer.status === 404) ? kept : answer;
  });
  if (!kept) return asked;
  return Promise.race([asked.catch(() => kept), new Promise((done) => setTimeout(done, patience, kept))]);
}

async function fromCache(request) {
  const cache = await caches.open(bundles);
  const kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.status === 200) await cache.put(request, answer.clone());
  return answer;
}

self.addEventListener("fetch", (event) => {
  const { pathname, searchParams } = new URL(event.request.url);
  if (event.request.method !== "GET" || pathname.includes("/api/") || pathname.includes("/auth/") || searchParams.has("authSig")) return;
  if (pathname.startsWith("/frontend_latest/")) event.respondWith(fromCache(event.request));
  else if (event.request.mode === "navigate") event.respondWith(fromNetwork(event.request));
});

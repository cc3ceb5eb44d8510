// Keeps the page's own files, so that it works without a network after the first visit. `make web` fills in what
// is in brackets. Nothing of a scan ever comes here.
const FILES = [/*files*/];
const OWN = `renalmap ${self.registration.scope} `;
const NAME = `${OWN}/*version*/`;
const URLS = FILES.map((file) => new URL(file, self.registration.scope).href);

self.addEventListener("install", (event) => {
  const fresh = URLS.map((url) => new Request(url, { cache: "reload" }));
  event.waitUntil(
    caches
      .open(NAME)
      .then((cache) => cache.addAll(fresh))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith(OWN) && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  const [url] = event.request.url.split(/[?#]/);
  if (event.request.method !== "GET" || !URLS.includes(url)) return;
  const answer = async () => (await (await caches.open(NAME)).match(url)) ?? fetch(event.request);
  event.respondWith(answer());
});

// A service worker for users' pages that runs only while it is installed: what it keeps is found by routes, and
// everything else goes to the network, without asking it.
//
// Chromium compiles a script that an installation puts into a cache whole, and keeps that beside it. JupyterLab's
// scripts then need not be compiled while somebody waits for his notebook.
//
// Caddy writes before it: const lab = { all: "/hubwright/lab/", build: "/hubwright/lab/HASH/", files: [...] };

async function keep(event) {
  await event.addRoutes([
    { condition: { urlPattern: `${lab.build}*` }, source: { cacheName: lab.build } },
    { condition: { urlPattern: "/*" }, source: "network" },
  ]);
  const cache = await caches.open(lab.build);
  await cache.addAll(lab.files);
  await self.skipWaiting();
}

async function forget() {
  for (const name of await caches.keys()) {
    if (name.startsWith(lab.all) && name !== lab.build) await caches.delete(name);
  }
}

self.addEventListener("install", (event) => event.waitUntil(keep(event)));
self.addEventListener("activate", (event) => event.waitUntil(forget()));

/** Makes the page available offline, and reports whether it is. */
export async function keepOffline(
  say: (text: string, action?: { name: string; run: () => void }) => void,
): Promise<void> {
  if (!navigator.serviceWorker) return;
  try {
    const registration = await navigator.serviceWorker.register("./offline_worker.js", { updateViaCache: "none" });
    const offer = (worker: ServiceWorker | null) => {
      if (!worker) return;
      const run = () => {
        navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
        worker.postMessage("take over");
      };
      say("A newer version of this page is available.", { name: "Use it", run });
    };
    const watch = (worker: ServiceWorker | null) =>
      worker?.addEventListener("statechange", () => {
        if (worker.state === "installed" && registration.active) offer(worker);
        if (worker.state === "redundant" && !registration.active) say("This page could not be saved for offline use.");
      });
    registration.addEventListener("updatefound", () => watch(registration.installing));
    // The browser may have found it before this page asked.
    watch(registration.installing);
    await navigator.serviceWorker.ready;
    say("Saved in the browser: it works without a network now.");
    offer(registration.waiting);
  } catch (error) {
    say(`This page was not saved for offline use: ${error instanceof Error ? error.message : error}`);
  }
}

/** What every worker does first, once it listens for messages. */
export function announce(): void {
  if (!navigator.locks) {
    postMessage("");
    return;
  }
  const name = `lambent ${crypto.randomUUID()}`;
  void navigator.locks.request(name, () => {
    postMessage(name);
    return new Promise(() => {});
  });
}

/** What a host knows about failed connections, such as the proxy they went through. */
export type Explain = (url: URL) => string | undefined;

let explain: Explain = () => undefined;

/** Sets it; done when a host with a file system is chosen. */
export function explainConnections(how: Explain): void {
  explain = how;
}

/** The reason of a failed connection, with what the host knows about it. */
export function connectionFailure(url: URL, reason: string): string {
  const more = explain(url);
  return more ? `${reason} (${more})` : reason;
}

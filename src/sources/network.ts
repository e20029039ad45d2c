/** What a host knows about connections that fail, such as the proxy that they go through. */
export type Explain = (url: URL) => string | undefined;

let explain: Explain = () => undefined;

/** Says it; a host with files does when it is chosen. */
export function explainConnections(how: Explain): void {
  explain = how;
}

/** A reason why a connection failed, with what the host knows about it. */
export function connectionFailure(url: URL, reason: string): string {
  const more = explain(url);
  return more ? `${reason} (${more})` : reason;
}

/** Addresses as errors show them: a query may hold a signature, and there may be a password before the host. */

/** Without credentials, query and fragment; also of a relative address. */
export function shown(address: string | URL): string {
  return `${address}`.replace(/[?#].*$/s, "").replace(/^([a-z][a-z\d+.-]*:)?\/\/[^/]*@/i, "$1//");
}

/** The name of a place, which may be a path: those are shown as they are. */
export function shownPlace(where: string | URL): string {
  return /^[a-z][a-z\d+.-]*:\/\//i.test(`${where}`) ? shown(where) : `${where}`;
}

/** Somebody else's text, with the addresses in it as `shown` gives them. */
export function withoutSecrets(text: string): string {
  return text.replace(/\b(?:https?|wss?):\/\/[^\s"'<>]+/gi, (address) => shown(address));
}

/** The Authorization header that the credentials of an address stand for; undefined if it has none. */
export function authorizationOf({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  const bytes = new TextEncoder().encode(`${decode(username)}:${decode(password)}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** Percent-decoded; as it is where that is not possible. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

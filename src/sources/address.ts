/** Addresses as errors show them: a query may contain a signature, and there may be a password before the host. */

/** An address without credentials, query and fragment; relative ones too. */
export function shown(address: string | URL): string {
  return `${address}`.replace(/[?#].*$/s, "").replace(/^([a-z][a-z\d+.-]*:)?\/\/[^/]*@/i, "$1//");
}

/** The name of a place as errors show it; a path is shown as it is. */
export function shownPlace(where: string | URL): string {
  return /^[a-z][a-z\d+.-]*:\/\//i.test(`${where}`) ? shown(where) : `${where}`;
}

/** Text from elsewhere, with the addresses in it as `shown` gives them. */
export function withoutSecrets(text: string): string {
  return text.replace(/\b(?:https?|wss?):\/\/[^\s"'<>]+/gi, (address) => shown(address));
}

/** The Authorization header for the credentials in an address; undefined if it has none. */
export function authorizationOf({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  const bytes = new TextEncoder().encode(`${decode(username)}:${decode(password)}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** Percent-decoded; unchanged if that is not possible. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

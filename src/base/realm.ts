/**
 * What a value is, whichever realm its class belongs to: test runners with jsdom and programs that run in node:vm have
 * classes of another one in their globals than those of what the host gives them, so that `instanceof` says no.
 */

/** Whether a value is of a class of the platform, by the name that it gives itself. */
export function isOf(name: "ArrayBuffer" | "URL" | "Uint8Array" | "WebAssembly.Module", value: unknown): boolean {
  return Object.prototype.toString.call(value) === `[object ${name}]`;
}

/** What an error says; of anything else that was thrown, itself. */
export function messageOf(thrown: unknown): unknown {
  const { message } = (thrown ?? {}) as { readonly message?: unknown };
  return message === undefined ? thrown : message;
}

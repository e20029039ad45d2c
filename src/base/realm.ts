/**
 * Type tests that work across realms: under test runners with jsdom, and in node:vm, the classes in globals differ from
 * those of objects that the host creates, so that `instanceof` fails.
 */

/** Whether a value is an instance of a platform class, by its own tag. */
export function isOf(
  name: "ArrayBuffer" | "Float32Array" | "Int8Array" | "URL" | "Uint8Array" | "WebAssembly.Module",
  value: unknown,
): boolean {
  return Object.prototype.toString.call(value) === `[object ${name}]`;
}

/** The message of an error; any other thrown value itself. */
export function messageOf(thrown: unknown): unknown {
  const { message } = (thrown ?? {}) as { readonly message?: unknown };
  return message === undefined ? thrown : message;
}

import type { EngineInfo, GenerateOptions, LoadOptions } from "lambent";

/** An element that the page has. */
export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const text = (id: string) => part<HTMLInputElement>(id).value.trim();
/** The number in a field; undefined if it is empty, so that the library's own default counts. */
const number = (id: string) => (text(id) === "" ? undefined : Number(text(id)));

/** The sampling options in the fields. */
export function sampling(): GenerateOptions {
  return {
    temperature: number("temperature"),
    topK: number("top_k"),
    topP: number("top_p"),
    minP: number("min_p"),
    repetitionPenalty: number("repetition_penalty"),
  };
}

export const seed = () => number("seed");

/** Milliseconds between tokens. */
export const pace = () => Number(text("pace"));

/** The loading options in the fields. */
export function loading(): LoadOptions {
  const dtype = text("dtype");
  return {
    ...(dtype === "auto" ? {} : { dtype: dtype as LoadOptions["dtype"] }),
    // Otherwise there is one thread, and the library says why.
    ...(globalThis.crossOriginIsolated ? { threads: Number(text("threads")) } : {}),
  };
}

/** The longest text under full attention, in tokens. */
export const room = () => number("room") ?? 8192;

/** One per core; four by default, as a small model has no work for more. */
export function offerThreads(): void {
  const cores = navigator.hardwareConcurrency || 1;
  const most = globalThis.crossOriginIsolated ? Math.min(cores, 16) : 1;
  const options = Array.from({ length: most }, (_, i) => new Option(`${i + 1}`));
  part<HTMLSelectElement>("threads").replaceChildren(...options);
  part<HTMLSelectElement>("threads").value = `${Math.min(most, 4)}`;
}

const MEMORY = { shared: "memory shared by threads", single: "memory of one thread" };
const SIMD = { relaxed: "relaxed SIMD, which is faster for quantised weights", plain: "plain SIMD" };

/** Shows what computes and why. */
export function showEngine({ runtime, kernels, threads, cores, reasons }: EngineInfo): void {
  const [memory, simd] = kernels.split("-") as [keyof typeof MEMORY, keyof typeof SIMD];
  const facts = {
    Browser: runtime,
    Kernels: `WebAssembly (${kernels}): ${SIMD[simd]}, ${MEMORY[memory]}`,
    Threads: `${threads} on ${cores} ${cores === 1 ? "core" : "cores"}, in workers`,
  };
  part("engine-facts").replaceChildren(
    ...Object.entries(facts).map(([name, value]) => {
      const row = document.createElement("div");
      row.append(Object.assign(document.createElement("dt"), { textContent: name }));
      row.append(Object.assign(document.createElement("dd"), { textContent: value }));
      return row;
    }),
  );
  part("engine-reasons").replaceChildren(
    ...reasons.map((reason) => Object.assign(document.createElement("li"), { textContent: reason })),
  );
}

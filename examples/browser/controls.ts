import type { EngineInfo, GenerateOptions, LoadOptions } from "lambent";

/** An element that the page has. */
export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const text = (id: string) => part<HTMLInputElement>(id).value.trim();
/** The number in a field; undefined if it is empty, so that the library's own default counts. */
const number = (id: string) => (text(id) === "" ? undefined : Number(text(id)));

/** What the fields say of how the next token is chosen. */
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

/** What the fields say of how models are loaded. */
export function loading(): LoadOptions {
  const dtype = text("dtype");
  return {
    ...(dtype === "auto" ? {} : { dtype: dtype as LoadOptions["dtype"] }),
    // Where there is no choice, the library says why.
    ...(globalThis.crossOriginIsolated ? { threads: Number(text("threads")) } : {}),
  };
}

/** Tokens that there is room for under full attention. */
export const room = () => number("room") ?? 8192;

/** As many as there are, but a small model has no work for more than four. */
export function offerThreads(): void {
  const cores = navigator.hardwareConcurrency || 1;
  const most = globalThis.crossOriginIsolated ? Math.min(cores, 16) : 1;
  const options = Array.from({ length: most }, (_, i) => new Option(`${i + 1}`));
  part<HTMLSelectElement>("threads").replaceChildren(...options);
  part<HTMLSelectElement>("threads").value = `${Math.min(most, 4)}`;
}

const MEMORY = { shared: "memory that threads share", single: "memory of one thread" };
const SIMD = { relaxed: "relaxed SIMD, which is quicker with small numbers", plain: "plain SIMD" };

/** What computes, in plain words. */
export function showEngine({ runtime, kernels, threads, cores, reasons }: EngineInfo): void {
  const [memory, simd] = kernels.split("-") as [keyof typeof MEMORY, keyof typeof SIMD];
  const facts = {
    Browser: runtime,
    Kernels: `WebAssembly (${kernels}): ${SIMD[simd]}, ${MEMORY[memory]}`,
    Threads: `${threads} on ${cores} ${cores === 1 ? "core" : "cores"}, in workers beside the page`,
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

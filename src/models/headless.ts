import { HIDDEN, LAST, LOGITS } from "./buffers.ts";
import { type Operation, type Program, weightNames } from "./program.ts";

/** Whether a program computes logits; one that does not gives hidden states alone. */
export function hasHead({ buffers }: Program): boolean {
  return buffers[LOGITS] !== undefined;
}

/**
 * The program without the matrix that makes logits, for embeddings: as a checkpoint of the base model is (HF AutoModel),
 * which need not contain that matrix.
 */
export function withoutHead(program: Program): Program {
  const head = [program.head[0] as Operation, ...beforeMatrix(program)];
  const used = new Set([program.embed, ...program.layers, head].flat().flatMap(weightNames));
  const { [LOGITS]: _, ...buffers } = program.buffers;
  return { ...program, head, buffers, weights: new Map([...program.weights].filter(([name]) => used.has(name))) };
}

/** What makes last_hidden_state (HF BaseModelOutput) of the hidden state [hiddenSize] of every row, in place: the final norm. */
export function finalNorm(program: Program): Operation[] {
  const renamed = (value: unknown) => (value === LAST ? HIDDEN : value);
  return beforeMatrix(program).map((operation) => {
    return Object.fromEntries(Object.entries(operation).map(([key, value]) => [key, renamed(value)])) as Operation;
  });
}

/** The head's operations between its gather and its matrix. */
function beforeMatrix({ head }: Program): readonly Operation[] {
  const matrix = head.findIndex(({ op }) => op === "matmul");
  return head.slice(1, matrix < 0 ? head.length : matrix);
}

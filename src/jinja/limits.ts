import { TemplateError } from "./errors.ts";

/** Nodes, iterations, values written as text …: about a second of work. */
const STEPS = 4_000_000;
/** Additional steps for each value that a template is given: long chats take longer. */
const STEPS_PER_VALUE = 200;
/** The most characters of a text: the smallest limit of the JavaScript engines. */
const MOST_TEXT = 2 ** 29 - 25;
/** The most values of a list. */
const MOST_ITEMS = 10_000_000;

/** Rendering is synchronous, so that there is only one at a time. */
let steps = 0;
let most = STEPS;

/** Starts a rendering with this many values. */
export function begin(values: number): void {
  steps = 0;
  most = STEPS + values * STEPS_PER_VALUE;
}

/** Counts steps of the rendering. @throws TemplateError where there are too many: no template may hang the process. */
export function spend(count = 1): void {
  if ((steps += count) > most) throw new TemplateError(`the template takes more than ${most} steps`);
}

/**
 * Checks the length of a text.
 * @throws TemplateError if it is too long
 */
export function checkText(length: number): void {
  if (length > MOST_TEXT) throw new TemplateError(`a text is longer than ${MOST_TEXT} characters`);
}

/** Counts the reading or writing of a whole text: a long one is more than one step. */
export function spendText(length: number): void {
  checkText(length);
  spend(1 + length / 2048);
}

/**
 * Checks the length of a list, and counts the steps of making it.
 * @throws TemplateError if it is too long
 */
export function spendItems(length: number): void {
  if (length > MOST_ITEMS) throw new TemplateError(`a list is longer than ${MOST_ITEMS} items`);
  spend(1 + length / 16);
}

/** Former path of src/entry/index.ts: programs outside import it from a clone. To go with 0.2. */
export * from "./entry/index.ts";

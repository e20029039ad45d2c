import { setDefaultTimeout } from "bun:test";

/** A hang ends in a failure; a slow machine does not. */
setDefaultTimeout(120_000);

/** The package's version, the same as in package.json and jsr.json. */
export const VERSION = "0.1.0";

/** That of the package; package.json and jsr.json say the same. */
export const VERSION = "0.1.0";

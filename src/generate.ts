/** Former path of src/session/settings.ts: programs outside import it from a clone. To go with 0.2. */
export { resolveSettings } from "./session/settings.ts";

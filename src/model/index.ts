/** Former path of src/models/index.ts: programs outside import it from a clone. To go with 0.2. */
export { programOf } from "../models/index.ts";

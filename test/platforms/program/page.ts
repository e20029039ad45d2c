/** As a page whose query is the job's path: browsers. */
import { run } from "./run.ts";

await run(new URL(location.search.slice(1), location.href).href);
console.log("lambent: end");

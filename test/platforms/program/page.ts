/** As a page whose query is the job's path: browsers. */
import { embedded } from "lambent/embedded";
import { run } from "./run.ts";

await run(new URL(location.search.slice(1), location.href).href, embedded);
console.log("lambent: end");

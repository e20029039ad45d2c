/** As the answer to a request whose body is the job's URL: workerd. */
import { run } from "./run.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    await run(await request.text());
    return new Response();
  },
};

import { lastLines } from "../command.ts";
import type { Instance } from "../place.ts";

/** A process of its own for the program. */
export function openProcess(words: readonly string[], cwd: string): Instance {
  let child: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  return {
    async run(url) {
      child = Bun.spawn([...words, url], { cwd, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
      const errors = await new Response(child.stderr).text();
      const code = await child.exited;
      return code === 0 ? undefined : `${child.signalCode ?? `exit ${code}`}: ${lastLines(errors)}`;
    },
    async close() {
      child?.kill("SIGKILL");
      await child?.exited;
    },
  };
}

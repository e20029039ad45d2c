/** Ends the process, and says in which case, where one does not end: nothing else runs beside code that hangs. */
const PATIENCE_MS = 30_000;

globalThis.onmessage = ({ data: { name, cases } }: MessageEvent<{ name: string; cases: Int32Array }>) => {
  let before = -1;
  setInterval(() => {
    const now = Atomics.load(cases, 0);
    if (now === before) {
      process.stderr.write(`\n${name}: case ${now} does not end: FUZZ_PATH=${now - 1}\n`);
      process.kill(process.pid, "SIGKILL");
    }
    before = now;
  }, PATIENCE_MS);
};

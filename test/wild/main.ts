/** Every differential run of this folder, or those that are named, one after the other: `npm run wild -- [NAME …]`. */
const RUNS = [
  ...["jinja", "templates", "next_turns", "generation", "tokenizers", "unicode", "tokenizer_files"],
  ...["safetensors", "weights", "hub", "proxy"],
];

const names = process.argv.slice(2);
const strange = names.find((name) => !RUNS.includes(name));
if (strange !== undefined) {
  console.error(`error: run: expected one of ${RUNS.join(", ")}, found ${strange}`);
  process.exit(2);
}
const failed = (names.length > 0 ? names : RUNS).filter((name) => {
  console.log(`::: ${name}`);
  const { exitCode } = Bun.spawnSync([process.execPath, `${import.meta.dir}/${name}.ts`], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return exitCode !== 0;
});
if (failed.length > 0) console.error(`error: ${failed.join(", ")} found differences, or failed`);
process.exit(failed.length > 0 ? 1 : 0);

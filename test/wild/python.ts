/** The Python that the references of test/wild run in. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dir;
const VENV = join(HERE, "../../build/wild-venv");

function run(command: string[], input?: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, {
    ...(input === undefined ? {} : { stdin: new TextEncoder().encode(input) }),
    env: { ...process.env, PYTHONUTF8: "1", HF_HUB_OFFLINE: "1" },
  });
  if (exitCode === 0) return `${stdout}`;
  throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stderr}`);
}

/** WILD_PYTHON, or an environment in build/ with the packages that requirements.txt pins, made on first use (minutes). */
function interpreter(): string {
  const given = process.env.WILD_PYTHON;
  if (given) return given;
  const python = join(VENV, "bin/python");
  if (existsSync(join(VENV, "complete"))) return python;
  console.error("making a Python environment in build/wild-venv");
  run(["python3", "-m", "venv", VENV]);
  run([python, "-m", "pip", "install", "--quiet", "-r", join(HERE, "requirements.txt")]);
  run(["touch", join(VENV, "complete")]);
  return python;
}

/** What a script of this folder prints. */
export function python(script: string, args: readonly string[] = [], input?: string): string {
  return run([interpreter(), join(HERE, script), ...args], input);
}

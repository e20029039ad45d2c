import process from "node:process";
import { runtimeName } from "../machine.ts";
import { measureSteps } from "../measure.ts";
import type { Row } from "../report.ts";

/** One setup measured in the runtime that this is started in; prints what it is and the rows, as JSON. */
const { model, setup, positions, budget } = JSON.parse(process.argv[2] as string);
const rows: Row[] = [];
for await (const row of measureSteps(model, setup, positions, budget)) rows.push(row);
// Some runtimes wait for workers that nobody needs any more.
process.stdout.write(`${JSON.stringify({ runtime: runtimeName(), rows })}\n`, () => process.exit());

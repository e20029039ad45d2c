import { expect, test } from "bun:test";
import { Pace } from "../../src/engine/pace.ts";

test("rows approach the target, never by more than twice at once, and small steps change nothing", () => {
  const pace = new Pace(100);
  const step = (rows: number, perRow: number) => pace.took(rows, 5 + rows * perRow);
  expect(pace.rows).toBe(16);
  step(1, 1000);
  expect(pace.rows).toBe(16);
  for (let i = 0; i < 8; i++) step(pace.rows, 2);
  expect(pace.rows).toBeGreaterThanOrEqual(44);
  expect(pace.rows).toBeLessThanOrEqual(48);
  step(128, 10);
  expect(pace.rows).toBe(9);
  step(9, 0.1);
  expect(pace.rows).toBe(18);
  pace.took(18, 1e9);
  expect(pace.rows).toBe(1);
  // A clock that stands still says that all is quick.
  for (let i = 0; i < 5; i++) pace.took(pace.rows, 0);
  expect(pace.rows).toBe(32);
});

import { describe, expect, test } from "bun:test";
import { progressLine } from "../../src/cli/progress.ts";

describe("a progress bar", () => {
  const line = (done: number, total: number, elapsed: number, columns = 100) =>
    progressLine("loading", done, total, elapsed, columns);

  test("shows the part that is done, and the time that the rest takes at the same speed", () => {
    expect(line(1, 4, 20_000)).toBe(`loading [${"#".repeat(10)}${"-".repeat(30)}] 25% | 1m 0s left`);
    expect(line(999, 1000, 999_000)).toBe(`loading [${"#".repeat(40)}] 99% | 1s left`);
    expect(line(1, 101, 61_000)).toEndWith("0% | 1h 41m left");
  });

  test("says nothing of the time before anything is done, and is full without a total", () => {
    expect(line(0, 4, 1000)).toBe(`loading [${"-".repeat(40)}] 0%`);
    expect(line(0, 0, 1000)).toBe(`loading [${"#".repeat(40)}] 100%`);
    expect(line(5, 4, 1000)).toBe(`loading [${"#".repeat(40)}] 100%`);
  });

  test("fits the terminal", () => {
    expect(line(1, 4, 1000, 20)).toBe("loading [##########-");
  });
});

import { expect, test } from "bun:test";
import { verdictOf } from "../../research/cli/ablation.ts";
import { ownNames } from "../../research/cli/options.ts";

test("the verdict of an ablation calls NaN by its name", () => {
  const row = (variant: string, ratio: number, sweep?: string) => ({ variant, sweep, "over re-truncation": ratio });
  const rows = [row("lambda", 1.01), row("full", 2), row("retruncation", 1), row("limit 9", 3, "limit")];
  expect(verdictOf(rows)).toBe("within 2 % of re-truncation: lambda; beyond it: full");
  expect(verdictOf([...rows, row("window", Number.NaN)])).toEndWith("beyond it: full; NaN: window");
});

test("models whose folders would be one are refused", () => {
  expect(() => ownNames(["a/model", "b/model/"])).toThrow("--models: expected a name of its own for each, found model");
  ownNames(["a/model", "b/other/"]);
});

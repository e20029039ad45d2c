import { Command, Option } from "commander";
import { POLICIES, type PolicyName } from "../src/model/cache.ts";
import { decode } from "./decode.ts";
import { DEFAULT_MODEL, story } from "./story.ts";

const program = new Command("bench").description("Measurements; each prints the machine and the command that made it");
program
  .command("decode", { isDefault: true })
  .description("milliseconds per token of prefill and decode, by policy and position")
  .option("--model <dir>", "checkpoint", DEFAULT_MODEL)
  .option("--threads <n>", "threads that compute (default: one per core)", Number)
  .option("--quick", "a smoke test: few rounds, short texts")
  .action(decode);
program
  .command("story")
  .description("NLL and distinct 4-grams of stories of 4,096 tokens, scored by the model in windows of 512")
  .option("--model <dir>", "checkpoint", DEFAULT_MODEL)
  .option("--seeds <n>", "stories per policy", Number, 8)
  .addOption(new Option("--policies <names...>", "attention policies").choices(POLICIES).default(["lambda", "full"]))
  .action((flags: { model: string; seeds: number; policies: PolicyName[] }) => story(flags));
await program.parseAsync();

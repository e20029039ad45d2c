/**
 * Loaded models as a provider of the AI SDK (entry `lambent/ai-sdk`), for every host; needs the package
 * `@ai-sdk/provider`, which comes with `ai`.
 *
 * @example
 * const lambent = createLambent({ story: await load("models/lambent-llama-5m") });
 * const { text } = await generateText({ model: lambent("story"), prompt: "Who is there?" });
 */
export { createLambent, type LambentProvider } from "../ai_sdk/provider.ts";

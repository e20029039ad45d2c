import type * as z from "zod/mini";
import { anthropicCount, anthropicMessages, countBody, messagesBody } from "./anthropic.ts";
import * as llama from "./llama_server.ts";
import type { Metrics } from "./metrics.ts";
import * as ollama from "./ollama.ts";
import { ollamaChat, ollamaEmbed, ollamaGenerate, ollamaShow } from "./ollama_body.ts";
import { chatBody, chatCompletions } from "./openai_chat.ts";
import { completionBody, completions } from "./openai_completions.ts";
import { embeddings, embeddingsBody } from "./openai_embeddings.ts";
import { model, models } from "./openai_models.ts";
import { deleteResponse, responseBody, responses, storedResponse } from "./openai_responses.ts";
import { health, metricsText } from "./operations.ts";
import { page } from "./page.ts";
import type { Service } from "./service.ts";

/** What a server answers: the table that requests are dispatched by, and that /openapi.json describes. */
export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** With `{name}` for a part that varies; one at the end may have slashes in it. */
  readonly path: string;
  readonly summary: string;
  /** What a body has to be. */
  readonly body?: z.ZodMiniType;
  /** The kinds of its responses; application/json by default. */
  readonly types?: readonly string[];
  handle(request: Request, part: string): Response | Promise<Response>;
}

const STREAMED = ["application/json", "text/event-stream"];
const LINES = ["application/json", "application/x-ndjson"];

/** All routes of a service. */
export function routesOf(service: Service, metrics: Metrics): readonly Route[] {
  const get = (path: string, summary: string, handle: (part: string) => Response | Promise<Response>): Route => {
    return { method: "GET", path, summary, handle: (_, part) => handle(part) };
  };
  const post = (
    path: string,
    summary: string,
    body: z.ZodMiniType,
    handle: (request: Request, service: Service) => Promise<Response>,
    types?: readonly string[],
  ): Route => {
    return {
      method: "POST",
      path,
      summary,
      body,
      handle: (request) => handle(request, service),
      ...(types ? { types } : {}),
    };
  };
  return [
    { ...get("/", "A page to chat in", page), types: ["text/html"] },
    get("/health", "Whether requests are taken", () => health(service)),
    { ...get("/metrics", "Prometheus metrics", () => metricsText(service, metrics)), types: ["text/plain"] },
    get("/v1/models", "The models", () => models(service)),
    get("/v1/models/{model}", "A model", (id) => model(service, id)),
    post("/v1/chat/completions", "Answer a chat", chatBody, chatCompletions, STREAMED),
    post("/v1/completions", "Continue a text", completionBody, completions, STREAMED),
    post("/v1/responses", "Answer a conversation that is kept here", responseBody, responses, STREAMED),
    get("/v1/responses/{id}", "A response that was kept", (id) => storedResponse(service, id)),
    {
      ...{ method: "DELETE", path: "/v1/responses/{id}", summary: "Forget a response" },
      handle: (_, id) => deleteResponse(service, id),
    },
    post("/v1/embeddings", "Vectors of texts", embeddingsBody, embeddings),
    post("/v1/messages", "Answer a chat, as Anthropic's API does", messagesBody, anthropicMessages, STREAMED),
    post("/v1/messages/count_tokens", "Count a chat's tokens", countBody, anthropicCount),
    post("/api/chat", "Answer a chat, as Ollama does", ollamaChat, ollama.chat, LINES),
    post("/api/generate", "Answer a prompt, as Ollama does", ollamaGenerate, ollama.generate, LINES),
    post("/api/embed", "Vectors of texts, as Ollama has them", ollamaEmbed, ollama.embed),
    post("/api/show", "A model, as Ollama shows it", ollamaShow, ollama.show),
    get("/api/tags", "The models, as Ollama lists them", () => ollama.tags(service)),
    get("/api/ps", "The models that are loaded: all", () => ollama.tags(service)),
    get("/api/version", "The version", () => ollama.version()),
    get("/props", "What llama-server tells of itself", () => llama.props(service)),
    get("/slots", "The sessions", () => llama.slots(service)),
    post("/tokenize", "A text's token ids", llama.tokenizeBody, llama.tokenize),
    post("/detokenize", "Token ids' text", llama.detokenizeBody, llama.detokenize),
    post("/apply-template", "A chat as the text that the model reads", llama.templateBody, llama.applyTemplate),
  ];
}

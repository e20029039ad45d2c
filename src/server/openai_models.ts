import type { Core } from "./core.ts";
import { ApiError } from "./errors.ts";
import type { Service } from "./service.ts";

/** GET /v1/models */
export function models({ cores, created }: Service): Response {
  return Response.json({ object: "list", data: [...cores].map(([id, core]) => describe(id, core, created)) });
}

/** GET /v1/models/{model}. Throws ApiError 404 for an unknown one. */
export function model({ cores, created }: Service, id: string): Response {
  const core = cores.get(id);
  if (!core)
    throw new ApiError(404, `model: expected ${[...cores.keys()].join(", ")}, found ${id}`, {
      param: "model",
      code: "model_not_found",
    });
  return Response.json(describe(id, core, created));
}

function describe(id: string, { model }: Core, created: number) {
  const { modelType, dtype, attention, nGlobal, nLocal, trainedLength } = model.info;
  const meta = {
    model_type: modelType,
    dtype,
    attention,
    n_global: nGlobal,
    n_local: nLocal,
    trained_length: trainedLength,
  };
  return { id, object: "model", created, owned_by: "lambent", meta };
}

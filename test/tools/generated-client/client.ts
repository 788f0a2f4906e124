// A client of a developer who has nothing but /openapi.json, from which all of `dist` is generated.
import { ApiError, type CrewRun, CrewRunsService, OpenAPI, type Problem, ServiceService } from "./dist/index.ts";

/** Compiles only if these are all states, and the fields that may be null are known. */
function describe(run: CrewRun): string {
  switch (run.status) {
    case "pending":
    case "running":
      return `${run.status} since ${run.started_at ?? run.created_at}`;
    case "completed":
      return `completed: ${run.result?.trim()}`;
    case "failed":
      return `failed: ${run.error?.trim()}`;
  }
}

export async function readAll(baseUrl: string, token: string, ownId: string, missingId: string): Promise<object> {
  OpenAPI.BASE = baseUrl;
  OpenAPI.TOKEN = token;
  const run = await CrewRunsService.getCrewRun({ runId: ownId, prefer: "wait=1" });
  const roles: string[] = run.crew_config?.agents.map((agent) => agent.role) ?? [];
  const code = await CrewRunsService.getCrewRun({ runId: missingId }).catch((error: unknown): Problem["code"] => {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return (error.body as Problem).code;
  });
  const { key_set: ready } = await ServiceService.getReadiness();
  return { description: describe(run), roles, code, ready };
}

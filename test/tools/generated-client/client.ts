// A client of a developer who has nothing but /openapi.json, from which all of `dist` is generated.
import { type ApiError, type CrewRun, CrewRunsService, OpenAPI, type Problem } from "./dist/index.ts";

/** Reads a run that is there, and one that isn't. Compiles only if the types are as narrow as the API. */
export async function readBoth(baseUrl: string, token: string, runId: string, missingId: string): Promise<object> {
  OpenAPI.BASE = baseUrl;
  OpenAPI.TOKEN = token;
  const run: CrewRun = await CrewRunsService.getCrewRun({ runId, prefer: "wait=1" });
  const status: "pending" | "running" | "completed" | "failed" = run.status;
  const roles: string[] = run.crew_config?.agents.map((agent) => agent.role) ?? [];
  const isLong: boolean = (run.result?.length ?? 0) > 20;
  const error = (await CrewRunsService.getCrewRun({ runId: missingId }).catch((reason: unknown) => reason)) as ApiError;
  const { code }: Problem = error.body;
  return { status, roles, isLong, code };
}

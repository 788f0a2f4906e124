// A client of a developer who has nothing but /openapi.json, from which all of `dist` is generated. Prints what it read as JSON.
import { ApiError, type CrewRun, CrewRunsService, OpenAPI, type Problem, ServiceService } from "./dist/index.ts";

function describe(run: CrewRun): string {
  switch (run.status) {
    case "pending":
    case "running":
      return `${run.id} is ${run.status} since ${run.started_at ?? run.created_at}`;
    case "completed":
      return `${run.id} has a result of ${run.result?.length ?? 0} characters`;
    case "failed":
      return `${run.id} failed: ${run.error}`;
  }
}

const [baseUrl = "", token = "", ownId = "", missingId = ""] = process.argv.slice(2);
OpenAPI.BASE = baseUrl;
OpenAPI.TOKEN = token;

const run = await CrewRunsService.getCrewRun({ runId: ownId, prefer: "wait=1" });
const roles: string[] = run.crew_config?.agents.map((agent) => agent.role) ?? [];
const input: { [key: string]: unknown } | null = run.task_input;

const code = await CrewRunsService.getCrewRun({ runId: missingId }).catch((error: unknown): Problem["code"] => {
  if (!(error instanceof ApiError) || error.status !== 404) throw error;
  return (error.body as Problem).code;
});

const health = await ServiceService.getHealth();
const ready = await ServiceService.getReadiness();

console.log(
  JSON.stringify({
    description: describe(run),
    roles,
    inputKeys: Object.keys(input ?? {}),
    code,
    health: health.status,
    ready: ready.key_set,
  }),
);

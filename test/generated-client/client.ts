// A client of a developer who has nothing but /openapi.json, from which all its types are generated.
// Prints what it read as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./dist/openapi.ts";

type CrewRun = components["schemas"]["CrewRun"];

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
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });

const found = await client.GET("/api/crew-runs/{run_id}", {
  params: { path: { run_id: ownId }, header: { "X-Request-Id": "generated-client" } },
});
if (found.error !== undefined) throw new Error(found.error.code);
const roles: string[] = found.data.crew_config?.agents.map((agent) => agent.role) ?? [];
const input: { [key: string]: unknown } | null = found.data.task_input;

const missing = await client.GET("/api/crew-runs/{run_id}", { params: { path: { run_id: missingId } } });
const code: components["schemas"]["Problem"]["code"] | "invalid_run_id" | undefined = missing.error?.code;

const health = await client.GET("/health");
const ready = await client.GET("/ready");

console.log(
  JSON.stringify({
    description: describe(found.data),
    roles,
    inputKeys: Object.keys(input ?? {}),
    requestId: found.response.headers.get("x-request-id"),
    code,
    health: health.data?.status,
    ready: ready.data?.key_set,
  }),
);

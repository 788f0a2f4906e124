// Three ways to learn that a run has finished, side by side against the local stack: what each costs, and how soon the client
// knows. Prints a Markdown table. `npm run bench:waiting -- --seconds 60 --runs 10`
// The times are of one machine without a network; requests, queries and bytes are those of any.
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Stack, startStack } from "../dev/stack.ts";
import { startWorkerProcess } from "../dev/worker-process.ts";
import { median } from "./statistics.ts";

interface Answer {
  status: number;
  etag: string;
  retryAfterSeconds: number;
  body: string;
}

type Get = (headers: Record<string, string>) => Promise<Answer>;

/** Each gives back when it has the finished run. */
const ways: Record<string, (get: Get) => Promise<unknown>> = {
  async "each second"(get) {
    while (!isFinished(await get({}))) await sleep(1_000);
  },
  async "by `Retry-After` and `ETag`"(get) {
    let etag = "";
    for (;;) {
      const answer = await get(etag === "" ? {} : { "if-none-match": etag });
      if (isFinished(answer)) return;
      etag = answer.etag;
      await sleep(answer.retryAfterSeconds * 1_000);
    }
  },
  async "`Prefer: wait=30`"(get) {
    while (!isFinished(await get({ prefer: "wait=30" })));
  },
};

const isFinished = ({ status, body }: Answer) =>
  status === 200 && ["completed", "failed"].includes((JSON.parse(body) as { status: string }).status);

interface Outcome {
  requests: number;
  queries: number;
  bytes: number;
  delayMilliseconds: number;
}

const crewConfig = {
  agents: [{ role: "Researcher", goal: "Find out", backstory: "Curious. ".repeat(40) }],
  tasks: [{ description: "Describe what was found. ".repeat(40), expected_output: "A report" }],
};
const taskInput = { topic: "Waiting", notes: "x".repeat(500) };
const result = "A finding. ".repeat(400);

async function follow(
  way: (get: Get) => Promise<unknown>,
  stack: Stack,
  origin: string,
  token: string,
  seconds: number,
): Promise<Outcome & { id: string }> {
  const id = crypto.randomUUID();
  await stack.database.query(
    `insert into crew_runs (id, correlation_id, owner_id, status, crew_type, crew_config, task_input)
     values ($1::text::uuid, $1, 'owner', 'pending', 'research', $2, $3)`,
    [id, JSON.stringify(crewConfig), JSON.stringify(taskInput)],
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<IncomingMessage["socket"]>();
  let requests = 0;
  const get: Get = async (headers) => {
    requests += 1;
    const asking = request(`${origin}/api/crew-runs/${id}`, {
      agent,
      headers: { authorization: `Bearer ${token}`, ...headers },
    }).end();
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    sockets.add(response.socket);
    const body = await text(response);
    const { statusCode = 0, headers: sent } = response;
    if (![200, 304].includes(statusCode)) throw new Error(`${statusCode} ${body}`);
    return { status: statusCode, etag: sent.etag ?? "", retryAfterSeconds: Number(sent["retry-after"]), body };
  };
  let finishedAt = Number.NaN;
  const run = async () => {
    await sleep(2_000);
    await stack.database.query("update crew_runs set status = 'running', started_at = now() where id = $1", [id]);
    await sleep((seconds - 2) * 1_000);
    await stack.database.query(
      "update crew_runs set status = 'completed', result = $2, completed_at = now() where id = $1",
      [id, result],
    );
    finishedAt = performance.now();
  };
  const running = run();
  await way(get);
  const delayMilliseconds = Math.max(0, performance.now() - finishedAt);
  await running;
  const bytes = [...sockets].reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0);
  agent.destroy();
  return { id, requests, queries: 0, bytes, delayMilliseconds };
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  await once(server.close(), "close");
  return address.port;
}

function printTable(outcomes: Map<string, Outcome[]>, seconds: number): void {
  console.log(`\nA run of ${seconds} seconds, a client's share:\n`);
  console.log("| | requests | queries | KB on the wire | knows after (median) | at most |");
  console.log("|---|---|---|---|---|---|");
  for (const [way, each] of outcomes) {
    const middle = (key: keyof Outcome) => median(each.map((outcome) => outcome[key]));
    const delays = each.map(({ delayMilliseconds }) => delayMilliseconds / 1_000);
    const cells = [
      middle("requests"),
      middle("queries"),
      (middle("bytes") / 1_000).toFixed(1),
      `${median(delays).toFixed(1)} s`,
      `${Math.max(...delays).toFixed(1)} s`,
    ];
    console.log(`| ${[way, ...cells].join(" | ")} |`);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seconds: { type: "string", default: "60" }, runs: { type: "string", default: "10" } },
  });
  const [seconds, runs] = [Number(values.seconds), Number(values.runs)];
  const stack = await startStack();
  const queries = new Map<string, number>();
  try {
    const worker = await startWorkerProcess({
      port: await findFreePort(),
      variables: stack.variables,
      signal: AbortSignal.timeout((seconds + 120) * 1_000),
      log(line) {
        if (!line.startsWith("{")) return;
        const { run_id, db_attempts = 0 } = JSON.parse(line) as { run_id?: string; db_attempts?: number };
        if (run_id !== undefined) queries.set(run_id, (queries.get(run_id) ?? 0) + db_attempts);
      },
    });
    try {
      const token = await stack.authorizationServer.fetchToken("owner");
      const outcomes = new Map<string, Outcome[]>();
      await Promise.all(
        Object.entries(ways).map(async ([name, way]) => {
          const followed = await Promise.all(
            Array.from({ length: runs }, async (_, index) => {
              // So that the ends fall on all parts of a second, and of a pause.
              await sleep(index * 130);
              return follow(way, stack, worker.url, token, seconds + index * 0.37);
            }),
          );
          await sleep(500);
          outcomes.set(
            name,
            followed.map((one) => ({ ...one, queries: queries.get(one.id) ?? 0 })),
          );
        }),
      );
      printTable(new Map(Object.keys(ways).map((name) => [name, outcomes.get(name) ?? []])), seconds);
    } finally {
      await worker.stop();
    }
  } finally {
    await stack.close();
  }
}

await main();
process.exit();

// `npm run smoke`: checks of a deployment from outside, over HTTP only; `.ci/run` makes the same checks of the local stack.
// Guarantees that it only reads, that it prints no token, and that the exit code is 1 if anything is wrong.
import { parseArgs } from "node:util";
import { type Finding, explainError, formatFinding, hint, ok, skipped } from "./checklist.ts";
import { SEEDED_RUNS } from "./seeded-runs.ts";
import { startLocalStack } from "./local-stack.ts";
import { showProgress } from "./progress.ts";
import { Misconfigured, type SmokeTarget, listChecks } from "./smoke/contract.ts";

const HELP = `Usage: npm run smoke -- ORIGIN [--token TOKEN] [--run ID]... [--stranger-token TOKEN]
       npm run smoke -- --local

Checks a deployment by requests that only read. Without a token and a run, the checks that need them are left out.

  ORIGIN                  such as https://api.example.com
  --token TOKEN           an access token (or the variable SMOKE_TOKEN)
  --run ID                a run that it may read, one of them finished (or SMOKE_RUN)
  --stranger-token TOKEN  a token that may not read the run (or SMOKE_STRANGER_TOKEN)
  --local                 start the local stack, and check that
  --help                  this text

Every user of the machine can read arguments in the list of processes, but not variables.
`;

/** Yields each finding as soon as it is known. A failure describes the difference from the contract. */
export async function* smoke(target: SmokeTarget): AsyncGenerator<Finding> {
  for (const [title, check] of Object.entries(listChecks(target))) {
    try {
      const note = await check();
      yield typeof note === "object" ? note : ok(note === undefined ? title : `${title}: ${note}`);
    } catch (error) {
      yield { mark: "bad", text: `${title}: ${explainError(error)}` };
      if (error instanceof Misconfigured) {
        yield skipped("not checked: everything else. npm run doctor names the settings, and so does the Worker's log");
        return;
      }
    }
  }
  if (target.token === undefined || target.runIds?.length === 0) {
    yield hint("no record was read", "That needs a token and a finished run: docs/deploy.md, step 7.");
  }
}

/** Prints the findings and the number of checks that passed; returns whether all did. */
async function report(target: SmokeTarget): Promise<boolean> {
  let passed = 0;
  let total = 0;
  for await (const finding of smoke(target)) {
    console.log(formatFinding(finding));
    if (finding.mark === "ok") passed += 1;
    if (finding.mark === "ok" || finding.mark === "bad") total += 1;
  }
  if (passed < total) console.log("\ndocs/troubleshooting.md helps to find the cause");
  console.log(`\n${passed === total ? passed : `${passed} of ${total}`} checks passed`);
  return passed === total;
}

async function reportLocal(): Promise<boolean> {
  const hideProgress = showProgress("starting the local stack");
  const { url, authorizationServer, close } = await startLocalStack().finally(hideProgress);
  try {
    const token = await authorizationServer.fetchToken("owner");
    const strangerToken = await authorizationServer.fetchToken("stranger");
    const runIds = SEEDED_RUNS.filter(({ ownerId }) => ownerId === "owner").map(({ id }) => id);
    return await report({ origin: url, token, strangerToken, runIds });
  } finally {
    await close();
  }
}

async function main(): Promise<boolean> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const run = { type: "string", multiple: true } as const;
  const options = { token: text, run, "stranger-token": text, local: flag, help: flag };
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  if (values.local === true) return reportLocal();
  const url = URL.parse(positionals[0] ?? "");
  if (values.help === true || url === null || !/^https?:$/.test(url.protocol)) {
    console.log(HELP);
    return values.help === true;
  }
  const { SMOKE_TOKEN, SMOKE_RUN, SMOKE_STRANGER_TOKEN } = process.env;
  return report({
    origin: url.origin,
    token: values.token ?? SMOKE_TOKEN,
    runIds: values.run ?? (SMOKE_RUN === undefined ? [] : [SMOKE_RUN]),
    strangerToken: values["stranger-token"] ?? SMOKE_STRANGER_TOKEN,
  });
}

if (import.meta.main) {
  const hasPassed = await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    return false;
  });
  process.exit(hasPassed ? 0 : 1);
}

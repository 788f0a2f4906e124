// `npm run deploy`: builds, checks the budget, then hands all arguments to `wrangler deploy`.
// Guarantees that nothing over budget is uploaded.
import { checkBudget } from "./build.ts";
import { runWrangler } from "./wrangler.ts";

/** Returns the exit code. */
export async function deploy(args: readonly string[], budgetBytes?: number): Promise<number> {
  if (!(await checkBudget(budgetBytes))) return 1;
  console.log();
  return (await runWrangler(["deploy", ...args], { capture: false })).exitCode;
}

if (import.meta.main) process.exitCode = await deploy(process.argv.slice(2));

// The page that says that a page under /docs doesn't exist. Whoever doesn't ask for HTML gets the API's response instead.
import type { Context } from "hono";
import { Failure } from "../failure.ts";
import type { AppEnv } from "../request.ts";

export async function getMissingPage(c: Context<AppEnv>, assets: Fetcher | undefined): Promise<Response> {
  if (assets === undefined || !c.req.header("accept")?.includes("text/html")) throw new Failure("not_found");
  // The host doesn't matter, and that of the request may be unusable.
  const page = await assets.fetch(new URL("https://assets.invalid/docs/404"));
  const response = new Response(page.body, { status: 404, headers: page.headers });
  response.headers.append("vary", "Accept");
  return response;
}

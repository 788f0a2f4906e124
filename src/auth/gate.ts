// The one gate in front of the runs. It admits a reader by the keys at hand, and lets the response out only if the token is still
// good by the keys at hand then. Nothing behind the gate knows of keys.
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "../env.ts";
import { Failure } from "../failure.ts";

/**
 * Stale keys are refetched in parallel with the read, and the response waits until they confirm the token: two round trips
 * together, and a withdrawn key reads nothing. A long poll and a 403 are confirmed first. Fails as `authenticate` does, and with
 * `insufficient_scope`.
 */
export const admitReader = createMiddleware<AppEnv>(async (c, next) => {
  const { authenticate, keySet, settings } = c.get("service");
  const trace = c.get("trace");
  const authorization = c.req.header("authorization") ?? "";
  const access = await authenticate(authorization, trace);
  c.set("access", access);

  let confirmed: Promise<unknown> | undefined;
  if (keySet.mustConfirm()) {
    const refusal = new AbortController();
    confirmed = keySet.refetch(trace).then(() => authenticate(authorization, trace));
    // The read's result would be thrown away. This also keeps the rejection from counting as unhandled until it is awaited.
    confirmed.catch(() => refusal.abort());
    c.set("refusal", refusal.signal);
    if (!access.hasRequiredScope || /wait/i.test(c.req.header("prefer") ?? "")) await confirmed;
  }
  if (!access.hasRequiredScope) throw new Failure("insufficient_scope", { why: `lacks ${settings.REQUIRED_SCOPE}` });
  await next();
  try {
    // During a wait the keys may have become stale.
    await (confirmed ?? (keySet.mustConfirm() && keySet.refetch(trace)));
    // RFC 9068 §4: before `exp` and by the keys at hand, however long the read or the wait took.
    const isCurrent = access.keys === (await keySet.get(trace)) && Date.now() < access.expiresMs;
    if (!isCurrent) await authenticate(authorization, trace);
  } catch (error) {
    // Hono copies the headers of the response that is replaced: the run's ETag, Age and Cache-Control must not survive.
    c.res = undefined;
    throw error;
  }
});

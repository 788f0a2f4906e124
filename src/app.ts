// Wires paths to what serves them. What the requests share is made once for an environment, from its settings.
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { Authenticator } from "./auth/authenticate.ts";
import { KeySet } from "./auth/key-set.ts";
import { readPreflight } from "./cors.ts";
import { KeptRuns } from "./crew-runs/kept-runs.ts";
import { CREW_RUN_PATH, getCrewRun } from "./crew-runs/route.ts";
import { CrewRunStore } from "./crew-runs/store.ts";
import { answerAsset, answerOpenApi, answerResourceMetadata } from "./documents.ts";
import { Exchange } from "./exchange.ts";
import { refuse } from "./failure.ts";
import { Readiness, answerHealth, answerReadiness } from "./health.ts";
import { type Settings, readSettings } from "./settings.ts";

/** Settings are read by name (settings.ts); only the static files come as a binding. */
export interface Environment {
  ASSETS?: Fetcher;
}

interface Service {
  settings: Settings;
  authenticator: Authenticator;
  keySet: KeySet;
  store: CrewRunStore;
  kept: KeptRuns;
  readiness: Readiness;
}

interface Misconfigured {
  settings?: undefined;
  problems: string[];
}

type Serve = (
  exchange: Exchange,
  service: Service | Misconfigured,
  c: Context<{ Bindings: Environment }>,
) => Response | Promise<Response>;

const ROUTES: Record<string, Serve> = {
  [CREW_RUN_PATH]: configured((exchange, service, c) => getCrewRun(exchange, service, c.req.param("run_id") ?? "")),
  "/health": answerHealth,
  "/ready": (exchange, service) =>
    service.settings === undefined
      ? answerReadiness(exchange, false, { settings: "misconfigured" })
      : service.readiness.answer(exchange, service.store, service.keySet),
  "/.well-known/oauth-protected-resource": configured((exchange, { settings }) =>
    answerResourceMetadata(exchange, settings),
  ),
  "/openapi.json": (exchange, _service, c) => answerOpenApi(exchange, c.env.ASSETS),
  "/llms.txt": (exchange, _service, c) => answerAsset(exchange, c.env.ASSETS, "/llms.txt"),
  "/docs": (exchange, _service, c) => answerAsset(exchange, c.env.ASSETS, "/docs/"),
  "/docs/:file": (exchange, _service, c) => answerAsset(exchange, c.env.ASSETS, c.req.path),
};

/** The application. State lives as long as the application and the environment that it is called with. */
export function createApp() {
  const services = new WeakMap<object, Service | Misconfigured>();
  const app = new Hono<{ Bindings: Environment }>();

  function start(c: Context<{ Bindings: Environment }>) {
    let service = services.get(c.env);
    if (service === undefined) services.set(c.env, (service = createService(c.env)));
    const exchange = new Exchange(c.req.raw, service.settings, (work) => c.executionCtx.waitUntil(work));
    return { service, exchange };
  }

  // One handler a path, whatever the method: hono composes middleware only where a request meets several.
  for (const [path, serve] of Object.entries(ROUTES)) {
    app.all(path, async (c) => {
      const { service, exchange } = start(c);
      exchange.notes.route = path;
      try {
        return isRead(c.req.raw) ? await serve(exchange, service, c) : answerOtherMethod(exchange);
      } catch (error) {
        return refuse(exchange, { reason: "internal_error", why: String(error) });
      }
    });
  }
  app.notFound((c) => refuse(start(c).exchange, { reason: "path_not_found" }));
  return app;
}

const isRead = ({ method }: Request) => method === "GET" || method === "HEAD";

function answerOtherMethod(exchange: Exchange): Response {
  const preflight = readPreflight(exchange.request, exchange.settings?.CORS_ORIGINS ?? []);
  return preflight === undefined
    ? refuse(exchange, { reason: "method_not_allowed" })
    : exchange.answer(204, null, preflight);
}

function configured(
  serve: (exchange: Exchange, service: Service, c: Context<{ Bindings: Environment }>) => Response | Promise<Response>,
): Serve {
  return (exchange, service, c) =>
    service.settings === undefined
      ? refuse(exchange, { reason: "misconfigured", why: service.problems.join("; ") })
      : serve(exchange, service, c);
}

function createService(environment: Environment): Service | Misconfigured {
  const read = readSettings(environment);
  if (!read.ok) return { problems: read.problems };
  const { settings } = read;
  const keySet = new KeySet(settings.JWKS_URL, settings.JWT_ALGORITHMS, settings.JWKS_MAX_STALE_SECONDS);
  return {
    settings,
    keySet,
    authenticator: new Authenticator(settings, keySet),
    store: new CrewRunStore(settings),
    kept: new KeptRuns(settings),
    readiness: new Readiness(),
  };
}

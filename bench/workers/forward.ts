// The limit for a run that must be queried: one subrequest with the Worker's own statement (STATEMENT, with RUN_ID in place of
// the id), the reply's text forwarded as it is. It checks nothing.

type Settings = Record<"NEON_FETCH_ENDPOINT" | "DATABASE_URL" | "STATEMENT", string>;

export default {
  async fetch(request: Request, settings: Settings): Promise<Response> {
    const id = request.url.slice(request.url.lastIndexOf("/") + 1);
    const reply = await fetch(settings.NEON_FETCH_ENDPOINT, {
      method: "POST",
      body: settings.STATEMENT.replaceAll("RUN_ID", id),
      headers: {
        "Neon-Connection-String": settings.DATABASE_URL,
        "Neon-Raw-Text-Output": "true",
        "Neon-Array-Mode": "true",
      },
    });
    return new Response(await reply.text(), { headers: { "content-type": "application/json" } });
  },
};

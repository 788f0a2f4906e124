// The limit for a run that must be queried: one subrequest to the SQL endpoint, its text forwarded as it is.
// It sends the statement that the Worker under test sends (QUERY), and checks nothing.

type Settings = { SQL_URL: string; QUERY: string; DATABASE_URL: string };

export default {
  async fetch(request: Request, settings: Settings): Promise<Response> {
    const id = request.url.slice(request.url.lastIndexOf("/") + 1);
    const answer = await fetch(settings.SQL_URL, {
      method: "POST",
      body: settings.QUERY.replaceAll("RUN_ID", id),
      headers: {
        "Neon-Connection-String": settings.DATABASE_URL,
        "Neon-Raw-Text-Output": "true",
        "Neon-Array-Mode": "true",
      },
    });
    return new Response(await answer.text(), { headers: { "content-type": "application/json" } });
  },
};

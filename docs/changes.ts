// The page of changes, made from the CHANGELOG: each released version with its "For clients", or with everything if it has no such parts.
export function writeChanges(changelog: string): string {
  const [, ...versions] = changelog.split(/^(?=## )/m);
  const released = versions.filter((version) => !version.startsWith("## Unreleased"));
  const parts = released.flatMap((version) => {
    const [heading = "", ...rest] = version.split("\n");
    const body = rest.join("\n");
    const forClients = /^### For clients\n(.*?)(?=^### |$(?![^]))/ms.exec(body)?.[1];
    if (forClients === undefined && /^### /m.test(body)) return [];
    return [`${heading}\n\n${(forClients ?? body).trim()}`];
  });
  const head = "# Changes for clients\n\nWhat a client of the API may notice in each version.";
  return [head, ...parts].join("\n\n").replaceAll("](docs/", "](");
}

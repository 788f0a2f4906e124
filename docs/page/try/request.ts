// The request that the form describes, and the programs that send it. They read the token from the environment.
export interface Form {
  token: string;
  runId: string;
  /** Of a response that the reader has; empty if there is none. */
  tag: string;
  /** Whether the run is to be sent only if its tag is another one. */
  isConditional: boolean;
  waits: boolean;
}

export interface RunRequest {
  path: string;
  headers: Record<string, string>;
}

export function describeRequest({ token, runId, tag, isConditional, waits }: Form): RunRequest {
  return {
    path: `/api/crew-runs/${encodeURIComponent(runId.trim()).replaceAll("'", "%27")}`,
    headers: {
      ...(token !== "" && { Authorization: `Bearer ${token}` }),
      ...(isConditional && { "If-None-Match": tag }),
      ...(waits && { Prefer: "wait=30" }),
    },
  };
}

/** The program for each tab, by the tab's label. */
export function writePrograms({ path, headers }: RunRequest): Record<string, string> {
  const url = location.origin + path;
  const quote = (text: string) => JSON.stringify(text);
  /** A line for each header; `token` is the line of the token's. */
  const list = (token: string, write: (name: string, value: string) => string) =>
    Object.entries(headers).map(([name, value]) => (name === "Authorization" ? token : write(name, value)));
  const curl = [
    "curl -i",
    ...list(`-H "Authorization: Bearer $TOKEN"`, (name, value) => `-H '${name}: ${value}'`),
    `'${url}'`,
  ];
  const javaScript = [
    "const headers = {",
    ...list("  Authorization: `Bearer ${process.env.TOKEN}`,", (name, value) => `  ${quote(name)}: ${quote(value)},`),
    "};",
    `const response = await fetch(${quote(url)}, { headers });`,
    "console.log(response.status, await response.text());",
  ];
  const python = [
    "import os, urllib.error, urllib.request",
    "",
    `request = urllib.request.Request(${quote(url)})`,
    "# Cloudflare blocks urllib's default User-Agent.",
    `request.add_header("User-Agent", "example-client/1.0")`,
    ...list(
      // Not to the other host of a redirect.
      `request.add_unredirected_header("Authorization", "Bearer " + os.environ["TOKEN"])`,
      (name, value) => `request.add_header(${quote(name)}, ${quote(value)})`,
    ),
    "try: response = urllib.request.urlopen(request)",
    "except urllib.error.HTTPError as error: response = error",
    "print(response.status, response.read().decode())",
  ];
  const go = [
    `request, err := http.NewRequest("GET", ${quote(url)}, nil)`,
    "if err != nil {\n\treturn err\n}",
    ...list(
      `request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))`,
      (name, value) => `request.Header.Set(${quote(name)}, ${quote(value)})`,
    ),
    "response, err := http.DefaultClient.Do(request)",
  ];
  return {
    curl: curl.join(" \\\n  "),
    JavaScript: javaScript.join("\n"),
    Python: python.join("\n"),
    Go: go.join("\n"),
  };
}

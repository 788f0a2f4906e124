// The request that the form describes, and its curl line without the token.
export const WAIT_SECONDS = 30;

export interface RunRequest {
  path: string;
  headers: Record<string, string>;
  curl: string;
  waits: boolean;
}

export function describeRequest(form: { token: string; runId: string; waits: boolean }, origin: string): RunRequest {
  const { waits } = form;
  const token = form.token.trim();
  const path = `/api/crew-runs/${encodeURIComponent(form.runId.trim()).replaceAll("'", "%27")}`;
  const lines = [
    "curl -i",
    ...(token === "" ? [] : [`-H "Authorization: Bearer $TOKEN"`]),
    ...(waits ? [`-H 'Prefer: wait=${WAIT_SECONDS}'`] : []),
    `'${origin}${path}'`,
  ];
  const headers = {
    ...(token !== "" && { authorization: `Bearer ${token}` }),
    ...(waits && { prefer: `wait=${WAIT_SECONDS}` }),
  };
  return { path, headers, curl: lines.join(" \\\n  "), waits };
}

/** Whether both would be sent with the same content. */
export function isSameRequest(one: RunRequest, other: RunRequest): boolean {
  return one.curl === other.curl && one.headers["authorization"] === other.headers["authorization"];
}

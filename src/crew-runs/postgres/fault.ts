// Faults between the Worker and its database, by how the driver (1.2) reports them, and how the read goes on.
import { Failure, type FailureCode } from "../../failure.ts";

/** The read is repeated at once; or a long poll goes on and polls again later; or both end. */
type Remedy = "repeat" | "poll_again" | "end";

const FAULTS = {
  /** Our signal fired: a TimeoutError, wrapped as `sourceError`. */
  timeout: ["repeat", "database_unavailable"],
  /** The fetch failed, or the body ended early: any other error, wrapped as `sourceError`. */
  connection_lost: ["repeat", "database_unavailable"],
  /** Another status than 200 and 400, in the message; a compute that is waking up or suspended is a 500. */
  endpoint_error: ["repeat", "database_unavailable"],
  /** Invalid JSON (SyntaxError), or JSON of another shape (TypeError). */
  invalid_reply: ["repeat", "database_unavailable"],
  /** A transient SQLSTATE: the server is starting, stopping, full, or gave way to another transaction. */
  server_busy: ["repeat", "database_unavailable"],
  /** SQLSTATE 57014. To repeat it at once would double the load that made it slow. */
  statement_timeout: ["poll_again", "database_unavailable"],
  /** SQLSTATE class 28 or 3D, or a 4xx of the endpoint: the credentials or the database's name. */
  refused: ["end", "database_unavailable"],
  /** Status 402: the Neon project's allowance is used up. */
  quota_exhausted: ["end", "database_unavailable"],
  /** Any other SQLSTATE. */
  sql_error: ["end", "database_unavailable"],
  /** SQLSTATE class 22: the row's fault, not the database's. */
  invalid_value: ["end", "invalid_record"],
  /** By reply-budget.ts, or by Neon's own limit. */
  reply_too_large: ["end", "record_too_large"],
  overloaded: ["poll_again", "overloaded"],
} as const satisfies Record<string, readonly [Remedy, FailureCode]>;

export interface Fault {
  kind: keyof typeof FAULTS;
  /** For the log. */
  why: string;
}

/** Connections, resources, shutdown, system errors, serialisation failures (a hot standby's 40001), locks, Neon's own errors. */
const TRANSIENT_SQLSTATE = /^(?:08|40|53|58|57P0|55P03$|XX000$)/;
/** Messages of these classes name identifiers and states; others may quote a value of a record or a role's name. */
const QUOTABLE_SQLSTATE = /^(?:08|3D|40|42|53|55|57|58|XX)/;
const MAX_MESSAGE_LENGTH = 200;

/** Whether another attempt at once may succeed. */
export const isWorthRepeating = ({ kind }: Fault): boolean => FAULTS[kind][0] === "repeat";

/** The failure of a read whose last attempt met `fault`; `why` lists the faults of all attempts. */
export function failBy({ kind }: Fault, why: string): Failure {
  const [remedy, code] = FAULTS[kind];
  return new Failure(code, { why, isTransient: remedy !== "end" });
}

/** What a log line must never contain: the connection string, and its password as written and decoded. */
export function listSecrets(databaseUrl: string): string[] {
  const { password } = new URL(databaseUrl);
  try {
    return [databaseUrl, password, decodeURIComponent(password)];
  } catch {
    // A lone `%` in a password that isn't percent-encoded.
    return [databaseUrl, password];
  }
}

/** Sorts an error of the driver or of its fetch. `why` never contains one of the `secrets`. */
export function classify(error: unknown, secrets: readonly string[]): Fault {
  const source = (error instanceof Error && "sourceError" in error && error.sourceError) || error;
  const { name, message, ...fields } = source instanceof Error ? source : new Error(String(source));
  const why = secrets.reduce((text, secret) => text.replaceAll(secret, "***"), message).slice(0, MAX_MESSAGE_LENGTH);

  if (source instanceof Failure) return { kind: source.code === "overloaded" ? "overloaded" : "reply_too_large", why };
  if (name === "TimeoutError" || name === "AbortError") return { kind: "timeout", why };
  if (source !== error) return { kind: "connection_lost", why };
  const { code, table, column, constraint } = fields as Record<string, unknown>;
  if (typeof code === "string" && code !== "") {
    const names = [table, column, constraint].filter(Boolean).join(" ");
    return classifySqlState(code, `${code} ${QUOTABLE_SQLSTATE.test(code) ? why : names}`.trimEnd());
  }
  const status = Number(/HTTP status (\d{3})/.exec(message)?.[1]);
  // Neon's own limit for a reply, 64 MB.
  if (status === 507) return { kind: "reply_too_large", why };
  if (status === 402) return { kind: "quota_exhausted", why: "status 402" };
  // The message of a refusal names the role.
  const isRefused = /password|authenticat/i.test(message) || (status < 500 && status !== 429 && status !== 408);
  if (name === "NeonDbError" && isRefused) return { kind: "refused", why: `status ${status || 400}` };
  if (name === "NeonDbError") return { kind: "endpoint_error", why };
  // The message quotes the reply.
  return { kind: "invalid_reply", why: name };
}

function classifySqlState(sqlState: string, why: string): Fault {
  if (TRANSIENT_SQLSTATE.test(sqlState)) return { kind: "server_busy", why };
  if (sqlState === "57014") return { kind: "statement_timeout", why };
  if (/^(?:28|3D)/.test(sqlState)) return { kind: "refused", why };
  return { kind: sqlState.startsWith("22") ? "invalid_value" : "sql_error", why };
}

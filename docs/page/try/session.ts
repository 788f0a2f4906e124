// Whose token is in the field, and how long it lasts: read from the token, for the reader's eyes only.
export interface Session {
  /** The subject, or another word for the token. */
  name: string;
  /** Seconds until the token expires, if it says when. */
  secondsLeft?: number;
}

/** The token alone. Readers paste it in quotes, or with the header that carries it. */
export function cleanToken(text: string): string {
  return text.replace(/^[\s"'`]*(?:authorization:\s*)?(?:bearer\s+)?[\s"'`]*/i, "").replace(/[\s"'`]+$/, "");
}

export function readSession(token: string, nowMs: number): Session | undefined {
  if (token === "") return undefined;
  try {
    const [, payload = ""] = token.split(".");
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const { sub, exp } = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown; exp?: unknown };
    const name = typeof sub === "string" && sub !== "" ? sub : "A token without a subject";
    return typeof exp === "number" ? { name, secondsLeft: Math.ceil(exp - nowMs / 1_000) } : { name };
  } catch {
    return { name: "Not a JSON Web Token" };
  }
}

export function describeSession({ name, secondsLeft }: Session): string {
  if (secondsLeft === undefined) return name;
  return secondsLeft > 0 ? `${name} · expires in ${formatSeconds(secondsLeft)}` : `${name} · expired`;
}

/** As a clock shows them: `2:13`, `1:02:13`. */
function formatSeconds(seconds: number): string {
  const pad = (number: number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  return `${hours > 0 ? `${hours}:${pad(minutes)}` : minutes}:${pad(seconds % 60)}`;
}

// The origin of a request: what the URL parser says, without its cost.
import fc from "fast-check";
import { expect, test } from "vitest";
import { originOf } from "../../src/http/request-log.ts";

/** By the platform's parser; empty if it is unsafe in a header. */
function parseOrigin(url: string): string {
  const origin = URL.parse(url)?.origin ?? "";
  return /["\\,\s]/.test(origin) ? "" : origin;
}

test.each([
  ["https://RUNS.Example.COM/", "https://runs.example.com"],
  ["HTTPS://runs.example.com:443/x?y#z", "https://runs.example.com"],
  ["https://user:secret@runs.example.com/", "https://runs.example.com"],
  ["https://bücher.example/", "https://xn--bcher-kva.example"],
  ["https://0x7f.0.0.1/", "https://127.0.0.1"],
  // Unusable, or unsafe to quote.
  ["https://runs.example.com:65536/", ""],
  ['https://a"b.test/', ""],
  ["https://a,b.test/", ""],
  ["/api/crew-runs/x", ""],
])("of %j is %j", (url, expected) => {
  expect(parseOrigin(url)).toBe(expected);
  expect(originOf(url)).toBe(expected);
});

const characters = fc.constantFrom(...'aZx0159.-_:@[]%/\\?#" ,é');
const hosts = fc.string({ unit: characters, minLength: 1, maxLength: 14 });
const ports = fc.oneof(
  fc.constant(""),
  fc.integer({ min: 0, max: 70_000 }).map((port) => `:${port}`),
);

const schemes = fc.constantFrom("http", "https", "HTTPS");
const rests = fc.constantFrom("", "/", "/x?y", "?q", "#f");

test("is the parser's for every host and port", () => {
  const property = fc.property(schemes, hosts, ports, rests, (scheme, host, port, rest) => {
    const url = `${scheme}://${host}${port}${rest}`;
    expect(originOf(url)).toBe(parseOrigin(url));
  });
  fc.assert(property, { numRuns: 20_000 });
});

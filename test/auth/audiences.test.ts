// Several clients at one issuer: JWT_AUDIENCE takes more than one value, and each counts as a whole.
import { expect, test } from "vitest";
import { makeKey, openIssuer } from "../issuer.ts";
import { bearer, startWorker } from "../worker.ts";

const PATH = `/api/crew-runs/${crypto.randomUUID()}`;

test.each(["web-client, mobile-client", "web-client mobile-client"])(
  "with JWT_AUDIENCE=%s either gets in; a prefix, both as one text and a third do not",
  async (JWT_AUDIENCE) => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const worker = startWorker({ ...issuer.variables, JWT_AUDIENCE });
    const status = async (aud: unknown) =>
      (await worker.fetch(PATH, { headers: bearer(await issuer.sign({ aud })) })).status;
    for (const aud of ["web-client", "mobile-client", ["other", "mobile-client"]]) {
      expect([aud, await status(aud)]).toEqual([aud, 404]);
    }
    const refused = [
      "web",
      "web-client2",
      JWT_AUDIENCE,
      "web-client,mobile-client",
      "third",
      ["third"],
      [],
      "",
      null,
      [[]],
    ];
    for (const aud of refused) expect([aud, await status(aud)]).toEqual([aud, 401]);
  },
);

"""A back end that runs a crew for each request, and sends a webhook when it has ended.

    uvicorn app:app    POST /reports accepts a run and returns its address at the API
    python app.py      a worker: executes runs, gives up dead ones, sends webhooks

Start as many of both as you need. The table crew_runs is the queue, so a restart loses
no pending run. The module report_crew is yours: its make_crew() returns a new Crew
object at each call. Install fastapi, uvicorn, httpx and "pyjwt[crypto]", and let the
owner of crew_runs create this table of webhooks:

    create table crew_run_webhooks (
      run_id          uuid primary key,
      attempts        integer not null,
      next_attempt_at timestamptz not null,
      delivered_at    timestamptz
    );
    create index on crew_runs (completed_at);
    grant select, insert, update on crew_run_webhooks to crew_runs_writer;
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

import httpx
import jwt
import psycopg
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from crew_runs import CrewRuns, RunLostError
from report_crew import make_crew

API = os.environ["API"]  # Where clients read runs: https://runs.example.com
DATABASE_URL = os.environ["WRITER_DATABASE_URL"]
ISSUER, AUDIENCE = os.environ["JWT_ISSUER"], os.environ["JWT_AUDIENCE"]
# Never from a request: it would make this program send requests to any address.
WEBHOOK_URL = os.environ["WEBHOOK_URL"]
WEBHOOK_KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
# Longer than the slowest crew takes, and than you are willing to wait for a worker.
RUN_LIMIT = timedelta(hours=1)
PENDING_LIMIT = timedelta(days=1)
CREW_TYPE = "report"

logger = logging.getLogger(__name__)
runs = CrewRuns(DATABASE_URL)
app = FastAPI()


# Fetched once a minute at most, also for invented key ids.
keys = jwt.PyJWKClient(
    os.environ["JWKS_URL"],
    lifespan=60,
    timeout=5,
    headers={"User-Agent": "report-crew/1.0"},  # Cloudflare blocks urllib's own.
)
Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))
]


def verify(bearer: Bearer) -> str:
    """Return the subject of the request's access token: the owner of its runs."""
    challenge = {"WWW-Authenticate": "Bearer"}
    if bearer is None:
        raise HTTPException(401, "An access token is missing.", challenge)
    try:
        known_keys = keys.get_signing_keys()
    except (jwt.PyJWTError, ValueError) as error:
        raise HTTPException(503, "Try again.", {"Retry-After": "5"}) from error
    try:
        key_id = jwt.get_unverified_header(bearer.credentials).get("kid", "")
        key = keys.match_kid(known_keys, key_id)
        if key is None:
            raise jwt.InvalidKeyError(f"no key is named {key_id!r}")
        claims = jwt.decode(
            bearer.credentials,
            key,
            algorithms=["RS256", "ES256"],  # Those of the issuer; never HS256.
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=10,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        logger.info("a token was refused: %s", error)
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise HTTPException(401, "The access token isn't valid.", challenge) from error
    return str(claims["sub"])


class Order(BaseModel):
    """The crew's inputs. Their owner can read them in the run's task_input."""

    topic: str = Field(min_length=1, max_length=200)


@app.post("/reports", status_code=202)
def accept(order: Order, owner_id: Annotated[str, Depends(verify)]) -> JSONResponse:
    """Accept a run. Its owner can read it at once, with the same access token."""
    try:
        run_id = runs.accept(
            make_crew(),
            order.model_dump(),
            owner_id=owner_id,
            correlation_id=str(uuid4()),
            crew_type=CREW_TYPE,
        )
    except psycopg.OperationalError as error:
        raise HTTPException(503, "Try again.", {"Retry-After": "5"}) from error
    headers = {"Location": f"{API}/api/crew-runs/{run_id}", "Retry-After": "2"}
    return JSONResponse({"id": str(run_id)}, 202, headers)


NEXT_PENDING = """
select id, task_input from crew_runs
where status = 'pending' and crew_type = %s order by created_at limit 1
"""
# Takes the next webhook that is due, and plans its next attempt in case this one fails.
NEXT_WEBHOOK = """
insert into crew_run_webhooks as known (run_id, attempts, next_attempt_at)
select id, 1, now() + interval '5 seconds' from crew_runs
where status in ('completed', 'failed') and completed_at > now() - interval '3 days'
  and not exists (
    select from crew_run_webhooks where run_id = crew_runs.id
    and (delivered_at is not null or next_attempt_at > now()))
order by completed_at limit 1
on conflict (run_id) do update
set attempts = known.attempts + 1, next_attempt_at = now()
  + least(interval '5 seconds' * 4 ^ known.attempts, interval '12 hours')
where known.delivered_at is null and known.next_attempt_at <= now()
returning run_id, (select completed_at from crew_runs where id = run_id)
"""
DELIVERED = "update crew_run_webhooks set delivered_at = now() where run_id = %s"


def execute(sql: str, *values: Any) -> psycopg.Cursor:
    with psycopg.connect(DATABASE_URL, connect_timeout=10) as connection:
        return connection.execute(sql, values)


def send_webhook() -> bool:
    """Send one webhook, if any is due, by the rules of https://standardwebhooks.com.

    The receiver may get it twice, with the same webhook-id. It has the run's id only:
    the record is for those who may read it at the API.
    """
    webhook = execute(NEXT_WEBHOOK).fetchone()
    if webhook is None:
        return False
    run_id, ended_at = webhook
    event = {"type": "crew_run.ended", "timestamp": ended_at.isoformat()}
    body = json.dumps({**event, "data": {"id": str(run_id)}})
    message_id, seconds = f"run_{run_id}", int(time.time())
    signed = f"{message_id}.{seconds}.{body}".encode()
    signature = base64.b64encode(hmac.digest(WEBHOOK_KEY, signed, hashlib.sha256))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature.decode()}",
    }
    response = httpx.post(WEBHOOK_URL, content=body, headers=headers, timeout=15)
    response.raise_for_status()  # A redirect is a failure, too.
    execute(DELIVERED, run_id)
    return True


def keep_up() -> None:
    """Give up dead runs and send webhooks, for ever."""
    while True:
        try:
            runs.give_up(RUN_LIMIT, pending_limit=PENDING_LIMIT)
            while send_webhook():
                pass
        except (psycopg.Error, httpx.HTTPError) as error:
            logger.warning("trying again soon: %s", error)
        time.sleep(2)


def work() -> None:
    """Execute pending runs one after the other, for ever.

    Polling keeps a Neon compute awake. Use a queue's messages instead if that matters.
    """
    while True:
        try:
            run = execute(NEXT_PENDING, CREW_TYPE).fetchone()
            if run is not None:
                runs.kickoff(run[0], make_crew(), run[1])
                continue
        except RunLostError as error:  # Another worker was faster, for example.
            logger.info("%s", error)
        except Exception:
            logger.exception("a run failed")
        time.sleep(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    # The run of a worker that is stopped fails at once. One that is killed is given up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=keep_up, daemon=True).start()
    work()

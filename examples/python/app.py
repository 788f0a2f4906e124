"""A back end that runs a crew for each request, and sends a webhook when it has ended.

    uvicorn app:app    POST /reports accepts a run and returns its address at the API
    python app.py      a worker: executes runs, gives up dead ones, sends webhooks

Start as many of both as you need. The table crew_runs is the queue, so a restart loses
no pending run. The module report_crew is yours: its make_crew() returns a new Crew
object at each call. Install fastapi, uvicorn, httpx and "pyjwt[crypto]".
"""

from __future__ import annotations

import http.client
import logging
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import jwt
import psycopg
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

import webhooks
from crew_runs import UNAVAILABLE, CrewRuns, RunLostError
from report_crew import make_crew

API = os.environ["API"]  # Where clients read runs: https://api.example.com
DATABASE_URL = os.environ["WRITER_DATABASE_URL"]
ISSUER, AUDIENCE = os.environ["JWT_ISSUER"], os.environ["JWT_AUDIENCE"]
# Longer than the slowest crew takes, and than you are willing to wait for a worker.
RUN_LIMIT = timedelta(hours=1)
PENDING_LIMIT = timedelta(days=1)
CREW_TYPE = "report"

logger = logging.getLogger(__name__)
# In an outage, a worker tries to store its result until the run is given up anyway.
runs = CrewRuns(DATABASE_URL, patience=RUN_LIMIT)
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
    except (jwt.PyJWTError, OSError, http.client.HTTPException, ValueError) as error:
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
        logger.info("a token was rejected: %s", error)
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise HTTPException(401, "The access token isn't valid.", challenge) from error
    return str(claims["sub"])


class Order(BaseModel):
    """The crew's inputs. Their owner can read them in the run's task_input."""

    topic: str = Field(min_length=1, max_length=200)


@app.exception_handler(RequestValidationError)
def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """Respond without the input, because a response can't express NaN, for example."""
    faults = [{name: fault[name] for name in ("loc", "msg")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


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
    except UNAVAILABLE as error:
        raise HTTPException(503, "Try again.", {"Retry-After": "5"}) from error
    headers = {"Location": f"{API}/api/crew-runs/{run_id}", "Retry-After": "2"}
    return JSONResponse({"id": str(run_id)}, 202, headers)


NEXT_PENDING = """
select id, task_input from crew_runs
where status = 'pending' and crew_type = %s order by created_at limit 1
"""


def keep_up() -> None:
    """Give up dead runs and send webhooks, forever."""
    while True:
        try:
            runs.give_up(RUN_LIMIT, pending_limit=PENDING_LIMIT)
            while webhooks.send_next(DATABASE_URL):
                pass
        except Exception as error:
            logger.warning("trying again soon: %s", error)
        time.sleep(2)


class Stop:
    """Ends this worker: a crew at once, but never while its run is written."""

    def __init__(self) -> None:
        self.is_wanted = False
        self.may_interrupt = False

    def __call__(self, *_: object) -> None:
        self.is_wanted = True
        if self.may_interrupt:
            sys.exit(143)


stop = Stop()


def execute(run_id: UUID, inputs: dict[str, Any]) -> None:
    """Execute a run. If the worker is stopped meanwhile, the run fails at once."""
    crew = make_crew()
    with runs.record(run_id) as run:
        try:
            stop.may_interrupt = True
            if stop.is_wanted:
                sys.exit(143)
            output = crew.kickoff(inputs)
        finally:
            stop.may_interrupt = False
        run.complete(output, crew)


def work() -> None:
    """Execute pending runs one after the other, until the worker is stopped.

    Polling keeps a Neon compute awake. Use a queue's messages instead if that matters.
    """
    while not stop.is_wanted:
        try:
            with psycopg.connect(DATABASE_URL, connect_timeout=10) as connection:
                run = connection.execute(NEXT_PENDING, [CREW_TYPE]).fetchone()
            if run is not None:
                execute(*run)
                continue
        except RunLostError as error:  # Another worker was faster, for example.
            logger.info("%s", error)
        except Exception:
            logger.exception("a run failed")
        time.sleep(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    # The run of a worker that is killed is given up.
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=keep_up, daemon=True).start()
    work()

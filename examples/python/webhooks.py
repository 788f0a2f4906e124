"""Send a webhook for each run that has ended, by the rules of https://standardwebhooks.com.

The back end's own table says which were delivered, so a restart loses none. Create it
once, as the owner of crew_runs:

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
import os
import time

import httpx
import psycopg

# Never from a request: a user could make this program send requests to any address.
URL = os.environ["WEBHOOK_URL"]
SECRET = os.environ["WEBHOOK_SECRET"].removeprefix("whsec_")
KEY = base64.b64decode(SECRET, validate=True)
if len(KEY) < 24:
    raise ValueError("WEBHOOK_SECRET needs 24 bytes: whsec_ and their base64")

# Takes one webhook that is due, and plans its next attempt in case this one fails: later
# than this one ends, so that no other worker sends the webhook meanwhile.
TAKE = """
insert into crew_run_webhooks as known (run_id, attempts, next_attempt_at)
select id, 1, now() + interval '30 seconds' from crew_runs
where status in ('completed', 'failed') and completed_at > now() - interval '3 days'
  and not exists (
    select from crew_run_webhooks where run_id = crew_runs.id
    and (delivered_at is not null or next_attempt_at > now()))
order by completed_at limit 1
on conflict (run_id) do update
set attempts = known.attempts + 1, next_attempt_at = now()
  + least(interval '30 seconds' * 4 ^ known.attempts, interval '12 hours')
where known.delivered_at is null and known.next_attempt_at <= now()
returning run_id, (select completed_at from crew_runs where id = run_id)
"""
DELIVERED = "update crew_run_webhooks set delivered_at = now() where run_id = %s"


def send_next(database_url: str) -> bool:
    """Send one webhook; return whether one was due.

    It has the run's id only: the record is for those who may read it at the API. The
    receiver may get a webhook twice, with the same webhook-id. Raises httpx.HTTPError if
    the receiver doesn't take it; then it is sent again later, for three days.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        taken = connection.execute(TAKE).fetchone()
    if taken is None:
        return False
    run_id, ended_at = taken
    event = {"type": "crew_run.ended", "timestamp": ended_at.isoformat()}
    body = json.dumps({**event, "data": {"id": str(run_id)}})
    webhook_id, seconds = f"run_{run_id}", int(time.time())
    signed = f"{webhook_id}.{seconds}.{body}".encode()
    signature = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }
    # Without reading the response's body, which might never end.
    with httpx.stream(
        "POST", URL, content=body, headers=headers, timeout=15
    ) as response:
        response.raise_for_status()  # A redirect is a failure, too.
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(DELIVERED, [run_id])
    return True

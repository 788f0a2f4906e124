"""A PostgreSQL server with the table crew_runs for a test in Node, also by Neon's protocol: POST /sql with one statement.

Prints the writer's connection string and the address as one line of JSON, and ends when its standard input does.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import psycopg
from postgres_server import PostgresServer

ROOT = Path(__file__).parents[3]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        statement = json.loads(self.rfile.read(length))
        role = urlsplit(self.headers["neon-connection-string"]).username
        texts = [None if v is None else str(v).encode() for v in statement["params"]]
        with psycopg.connect(server.url(role or ""), autocommit=True) as connection:
            # Below psycopg's types: values are Postgres's own texts.
            result = connection.pgconn.exec_params(statement["query"].encode(), texts)
        columns = range(result.nfields)
        reply = {
            "fields": [
                {
                    "name": (result.fname(c) or b"").decode(),
                    "dataTypeID": result.ftype(c),
                }
                for c in columns
            ],
            "rows": [
                [(v := result.get_value(r, c)) and v.decode() for c in columns]
                for r in range(result.ntuples)
            ],
            "command": (result.command_status or b"").decode().split(" ")[0],
            "rowCount": result.ntuples,
            # Of an error.
            "message": result.error_message.decode(),
        }
        body = json.dumps(reply).encode()
        self.send_response(400 if result.error_message else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = PostgresServer()
try:
    server.execute((ROOT / "schema.sql").read_text(encoding="utf-8"))
    server.execute("alter role crew_runs_reader login")
    page = (ROOT / "docs" / "writing-runs.md").read_text(encoding="utf-8")
    sender = (ROOT / "examples" / "python" / "webhooks.py").read_text(encoding="utf-8")
    for sql in (
        *re.findall(r"```sql\n(create role [^`]*)```", page),
        *re.findall(
            r"^    create table .*?(?=\n\"\"\")", sender, re.DOTALL | re.MULTILINE
        ),
    ):
        server.execute(sql)
    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=endpoint.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{endpoint.server_port}/sql"
    addresses = {"databaseUrl": server.url("crew_runs_writer"), "sqlUrl": url}
    print(json.dumps(addresses), flush=True)
    sys.stdin.read()
finally:
    server.remove()

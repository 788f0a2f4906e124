"""A PostgreSQL server for a test in Node, also by Neon's protocol: POST /sql with one statement.

Prints the writer's connection string and the address as one line of JSON, and ends when its standard input does.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import psycopg
from postgres_server import ROOT, PostgresServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        statement = json.loads(self.rfile.read(int(self.headers["content-length"])))
        role = urlsplit(self.headers["neon-connection-string"]).username or ""
        values = [None if v is None else str(v).encode() for v in statement["params"]]
        with psycopg.connect(server.url(role), autocommit=True) as connection:
            # Below psycopg's types: values are Postgres's own texts.
            result = connection.pgconn.exec_params(statement["query"].encode(), values)
        columns = range(result.nfields)
        reply = {
            "fields": [{"name": result.fname(c).decode(), "dataTypeID": result.ftype(c)} for c in columns],
            "rows": [[text_of(result.get_value(r, c)) for c in columns] for r in range(result.ntuples)],
            # Of an error.
            "message": result.error_message.decode(),
        }
        self.send_response(400 if reply["message"] else 200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_: object) -> None:
        pass


def text_of(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


server = PostgresServer()
server.query("alter role crew_runs_reader login")
sender = (ROOT / "examples" / "python" / "webhooks.py").read_text(encoding="utf-8")
server.query(sender[sender.index("    create table") : sender.index('"""\n\nfrom')])
endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
Thread(target=endpoint.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{endpoint.server_port}/sql"
print(json.dumps({"databaseUrl": server.url("crew_runs_writer"), "sqlUrl": url}), flush=True)
sys.stdin.read()

"""A PostgreSQL server in a temporary folder, with the table crew_runs and the writer of docs/writing-runs.md.

It listens on a socket in that folder only. It needs PostgreSQL's server programs.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "writing-runs.md").read_text(encoding="utf-8")
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class PostgresServer:
    """Starts at once, and ends with the process."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="crew-runs-")
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        log, options = f"{self.directory}/log", f"-k {self.directory} -h '' -F"
        self._run("pg_ctl", "start", "-w", "-t", "60", "-l", log, "-o", options)
        atexit.register(self._remove)
        self.query((ROOT / "schema.sql").read_text(encoding="utf-8"))
        [role] = re.findall(r"```sql\n(create role [^`]*)```", PAGE)
        self.query(role)

    def _remove(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(self.directory)

    def url(self, role: str) -> str:
        return f"postgresql://{role}@/postgres?host={self.directory}"

    def query(self, sql: str, *values: object) -> list[Any]:
        """Execute as the superuser, without values also a script; return the rows."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.cursor(row_factory=namedtuple_row).execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [PROGRAMS / program, "-D", f"{self.directory}/data", *arguments]
        options: dict[str, Any] = {"user": self._user, "cwd": self.directory}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)

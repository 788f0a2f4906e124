"""A PostgreSQL server in a temporary folder. It listens on a socket in that folder only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

START_TIMEOUT_SECONDS = 30


class PostgresServer:
    """Starts at once. It needs PostgreSQL's server programs."""

    def __init__(self) -> None:
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=version_of)
        self.directory = tempfile.mkdtemp(prefix="crew-runs-")
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        self._run("initdb", *options)
        self.start()

    def start(self) -> None:
        options = f"-k {self.directory} -c listen_addresses='' -F"
        log = f"{self.directory}/log"
        timeout = str(START_TIMEOUT_SECONDS)
        self._run("pg_ctl", "start", "-w", "-t", timeout, "-l", log, "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)

    def url(self, role: str) -> str:
        return f"postgresql://{role}@/postgres?host={self.directory}"

    def execute(self, sql: str) -> None:
        """Execute a script as the superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", f"{self.directory}/data", *arguments],
            check=True,
            user=self._user,
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
        )


def version_of(programs: Path) -> int:
    return int(programs.parent.name)

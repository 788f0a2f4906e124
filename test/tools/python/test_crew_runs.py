"""examples/python/crew_runs.py against a PostgreSQL server of its own.

The crew is a stand-in with the attributes of CrewAI's, so that no model is called. The
table, its constraints, the role and its rights are the real ones. Run it by
`npm run test:tools`; it needs psycopg 3 and PostgreSQL's server programs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "examples" / "python"))

import crew_runs  # noqa: E402
from crew_runs import CrewRuns, RunLostError, crew_config  # noqa: E402

PAGE = (ROOT / "docs" / "writing-runs.md").read_text(encoding="utf-8")
# By the name in the block's first line.
PAGE_SQL = {
    name.strip(): sql
    for name, sql in re.findall(r"```sql\n-- ([a-z ]+).*\n([^`]*)```", PAGE)
}
START_TIMEOUT_SECONDS = 30


class PostgresServer:
    """A server in a temporary folder. It listens on a socket in that folder only."""

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


class Process(str, Enum):
    sequential = "sequential"
    hierarchical = "hierarchical"


@dataclass
class StandInAgent:
    role: str
    goal: str = "goal"
    backstory: str = "backstory"
    verbose: bool = False
    allow_delegation: bool = False
    tools: list[Any] | None = field(default_factory=list)
    id: UUID = field(default_factory=uuid4)


@dataclass
class StandInTask:
    description: str
    expected_output: str = "output"
    agent: StandInAgent | None = None
    tools: list[Any] | None = field(default_factory=list)


@dataclass
class StandInCrew:
    agents: list[StandInAgent] = field(default_factory=list)
    tasks: list[StandInTask] = field(default_factory=list)
    process: Process = Process.sequential
    verbose: bool = False
    work: Callable[[Any], str] = lambda inputs: "done"

    def kickoff(self, inputs: dict[str, Any] | None = None) -> Any:
        return SimpleNamespace(raw=self.work(inputs))


class CrewRunsTest(unittest.TestCase):
    server: PostgresServer

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = PostgresServer()
        cls.addClassCleanup(cls.server.remove)
        cls.server.execute((ROOT / "schema.sql").read_text(encoding="utf-8"))
        cls.server.execute(PAGE_SQL["a role for the back end"])

    def setUp(self) -> None:
        self.runs = CrewRuns(self.server.url("crew_runs_writer"))

    def accept(self, crew: Any = StandInCrew(), *args: Any, **more: Any) -> UUID:
        names = {"owner_id": "owner", "correlation_id": "request-1", **more}
        return self.runs.accept(crew, *args, **names)

    def find(self, run_id: UUID) -> Any:
        with psycopg.connect(self.server.url("postgres")) as connection:
            cursor = connection.execute(
                "select * from crew_runs where id = %s", [run_id]
            )
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            return SimpleNamespace(**dict(zip(names, cursor.fetchone() or ())))

    def assert_times_in_order(self, run: Any) -> None:
        self.assertLessEqual(run.created_at, run.started_at)
        self.assertLessEqual(run.started_at, run.completed_at)

    def test_a_run_is_pending_then_running_then_completed(self) -> None:
        seen = []

        def work(inputs: Any) -> str:
            seen.append((inputs, self.find(run_id)))
            return "# Trams"

        crew = StandInCrew(work=work)
        run_id = self.accept(crew, {"city": "Brno", "since": 2020}, crew_type="trams")
        pending = self.find(run_id)
        self.assertEqual(
            (pending.status, pending.owner_id, pending.correlation_id),
            ("pending", "owner", "request-1"),
        )
        self.assertEqual(pending.crew_type, "trams")
        self.assertEqual(pending.task_input, {"city": "Brno", "since": 2020})
        self.assertIsNone(pending.started_at)

        output = self.runs.kickoff(run_id, crew, {"city": "Brno", "since": 2020})
        self.assertEqual(output.raw, "# Trams")
        [(inputs, running)] = seen
        self.assertEqual(inputs, {"city": "Brno", "since": 2020})
        self.assertEqual((running.status, running.result), ("running", None))
        completed = self.find(run_id)
        self.assertEqual((completed.status, completed.result), ("completed", "# Trams"))
        self.assertIsNone(completed.error)
        self.assert_times_in_order(completed)

    def test_an_error_of_the_crew_fails_the_run_and_is_raised_again(self) -> None:
        for error in (ValueError("the key sk-123 is wrong"), KeyboardInterrupt()):

            def work(inputs: Any, error: BaseException = error) -> str:
                raise error

            run_id = self.accept()
            with self.assertRaises(type(error)):
                self.runs.kickoff(run_id, StandInCrew(work=work))
            failed = self.find(run_id)
            self.assertEqual(failed.status, "failed")
            self.assertEqual(
                failed.error, f"The crew stopped with {type(error).__name__}."
            )
            self.assertIsNone(failed.result)
            self.assert_times_in_order(failed)

    def test_the_back_end_may_describe_errors_itself(self) -> None:
        def work(inputs: Any) -> str:
            raise TimeoutError

        runs = CrewRuns(
            self.server.url("crew_runs_writer"),
            describe_error=lambda error: "Too\0 slow.",
        )
        run_id = self.accept()
        with self.assertRaises(TimeoutError):
            runs.kickoff(run_id, StandInCrew(work=work))
        self.assertEqual(self.find(run_id).error, "Too slow.")

    def test_a_message_delivered_twice_makes_one_run_and_one_kickoff(self) -> None:
        kickoffs = []

        def work(inputs: Any) -> str:
            kickoffs.append(inputs)
            return "done"

        run_id = uuid4()
        self.assertEqual(self.accept(run_id=run_id), run_id)
        self.accept(run_id=run_id, owner_id="somebody else")
        self.assertEqual(self.find(run_id).owner_id, "owner")
        self.runs.kickoff(run_id, StandInCrew(work=work))
        with self.assertRaisesRegex(RunLostError, "isn't pending"):
            self.runs.kickoff(run_id, StandInCrew(work=work))
        self.assertEqual(len(kickoffs), 1)

    def give_up_during_work(self, end: Callable[[], str]) -> StandInCrew:
        def work(inputs: Any) -> str:
            time.sleep(0.01)
            self.assertGreaterEqual(self.runs.give_up(timedelta(milliseconds=1)), 1)
            return end()

        return StandInCrew(work=work)

    def test_a_run_that_was_given_up_isnt_completed_or_failed_later(self) -> None:
        def fail() -> str:
            raise ValueError

        def succeed() -> str:
            return "late"

        lost = self.accept()
        with self.assertRaisesRegex(RunLostError, "had been given up"):
            self.runs.kickoff(lost, self.give_up_during_work(succeed))
        failed = self.accept()
        with (
            self.assertLogs(crew_runs.logger, "WARNING"),
            self.assertRaises(ValueError),
        ):
            self.runs.kickoff(failed, self.give_up_during_work(fail))
        for run in (self.find(lost), self.find(failed)):
            outcome = (run.status, run.error, run.result)
            self.assertEqual(outcome, ("failed", "The run was abandoned.", None))

    def test_give_up_fails_only_runs_that_started_before_the_limit(self) -> None:
        pending, running, old = (self.accept() for _ in range(3))
        self.server.execute(
            f"""
            update crew_runs set status = 'running', started_at = now()
            where id = '{running}';
            update crew_runs set status = 'running',
              created_at = now() - interval '2 hours',
              started_at = now() - interval '2 hours'
            where id = '{old}'
            """
        )
        self.assertEqual(self.runs.give_up(timedelta(hours=1)), 1)
        statuses = [self.find(run_id).status for run_id in (pending, running, old)]
        self.assertEqual(statuses, ["pending", "running", "failed"])

    def test_completing_or_failing_again_changes_nothing(self) -> None:
        """Because the reply to the first statement may have been lost."""
        for sql, values in (
            (crew_runs.COMPLETE, {"result": "done"}),
            (crew_runs.FAIL, {"error": "broken"}),
        ):
            run_id = self.accept()
            rows = []
            for _ in range(2):
                with psycopg.connect(self.server.url("crew_runs_writer")) as connection:
                    connection.execute(crew_runs.START, {"id": run_id})
                    cursor = connection.execute(sql, {"id": run_id, **values})
                    self.assertEqual(cursor.rowcount, 1)
                rows.append(self.find(run_id))
            self.assertEqual(rows[0], rows[1])

    def test_a_result_survives_an_outage_of_the_database(self) -> None:
        def work(inputs: Any) -> str:
            self.server.stop()
            restart = threading.Timer(0.5, self.server.start)
            restart.start()
            self.addCleanup(restart.join)
            return "done"

        run_id = self.accept()
        with self.assertLogs(crew_runs.logger, "WARNING") as logs:
            self.runs.kickoff(run_id, StandInCrew(work=work))
        self.assertIn("the database can't be reached", logs.output[0])
        self.assertEqual(self.find(run_id).result, "done")

    def test_texts_that_postgres_refuses_are_stored_without_the_characters(
        self,
    ) -> None:
        inputs = {"no\0te": ["\0", ("\ud83d", "\ud83d\ude00", "\\u0000")], "n": 2**60}
        agent = StandInAgent(role="Writ\0er")
        crew = StandInCrew(
            agents=[agent], work=lambda inputs: "done\0 \ud83d\ude00 \udc00"
        )
        run_id = self.accept(crew, inputs)
        self.runs.kickoff(run_id, crew, inputs)
        run = self.find(run_id)
        expected = {"note": ["", ["\ufffd", "\U0001f600", "\\u0000"]], "n": 2**60}
        self.assertEqual(run.task_input, expected)
        self.assertEqual(run.crew_config["agents"][0]["role"], "Writer")
        self.assertEqual(run.result, "done \U0001f600 \ufffd")

    def test_a_run_without_inputs_has_no_task_input(self) -> None:
        run_id = self.accept()
        with psycopg.connect(self.server.url("postgres")) as connection:
            # Python sees None for JSON's null as well.
            cursor = connection.execute(
                "select task_input is null from crew_runs where id = %s", [run_id]
            )
            self.assertEqual(cursor.fetchone(), (True,))
        self.assertEqual(self.find(self.accept(StandInCrew(), {})).task_input, {})

    def test_crew_config_describes_agents_and_tasks(self) -> None:
        search = SimpleNamespace(name="web_search")
        twin = StandInAgent(role="Writer", allow_delegation=True, tools=None)
        writer = StandInAgent(role="Writer", verbose=True)
        crew: Any = StandInCrew(
            agents=[StandInAgent(role="Researcher", tools=[search]), twin, writer],
            tasks=[
                StandInTask("Find", "A table", writer, [search]),
                StandInTask("Write", agent=StandInAgent(role="elsewhere"), tools=None),
                StandInTask("Check", agent=None),
            ],
            process=Process.hierarchical,
            verbose=True,
        )
        agent = {
            "goal": "goal",
            "backstory": "backstory",
            "verbose": False,
            "allow_delegation": False,
            "tools": [],
        }
        task = {"agent_index": 0, "expected_output": "output", "tools": []}
        self.assertEqual(
            crew_config(crew),
            {
                "agents": [
                    {**agent, "role": "Researcher", "tools": ["web_search"]},
                    {**agent, "role": "Writer", "allow_delegation": True},
                    {**agent, "role": "Writer", "verbose": True},
                ],
                "tasks": [
                    {
                        "description": "Find",
                        "agent_index": 2,
                        "expected_output": "A table",
                        "tools": ["web_search"],
                    },
                    {**task, "description": "Write"},
                    {**task, "description": "Check"},
                ],
                "verbose": True,
                "process": "hierarchical",
            },
        )
        self.assertEqual(self.find(self.accept(crew)).crew_config, crew_config(crew))
        secretive = self.accept(crew, include_config=False)
        self.assertIsNone(self.find(secretive).crew_config)

    def test_the_program_of_the_page_records_a_run(self) -> None:
        [program] = re.findall(r"```python\n([^`]*)```", PAGE)
        names: dict[str, Any] = {
            "CrewRuns": CrewRuns,
            "crew": StandInCrew(),
            "inputs": {"city": "Brno"},
            "os": SimpleNamespace(
                environ={"WRITER_DATABASE_URL": self.server.url("crew_runs_writer")}
            ),
            "request_id": "request-2",
            "subject": "owner",
            "timedelta": timedelta,
        }
        exec(program, names)
        run = self.find(names["run_id"])
        self.assertEqual(
            (run.status, run.owner_id, run.correlation_id, run.result),
            ("completed", "owner", "request-2", "done"),
        )

    def test_the_statements_are_those_of_the_page(self) -> None:
        for name, values in (
            ("accept", "id correlation_id owner_id crew_type crew_config task_input"),
            ("start", "id"),
            ("complete", "id result"),
            ("fail", "id error"),
            ("give up", "limit"),
        ):
            sql = getattr(crew_runs, name.upper().replace(" ", "_"))
            for number, value in enumerate(values.split(), 1):
                sql = sql.replace(f"%({value})s", f"${number}")
            self.assertEqual(compact(sql), compact(PAGE_SQL[name].rstrip(";\n")))


def compact(sql: str) -> str:
    """Leave out the whitespace that only lays a statement out."""
    return re.sub(r"\s+", " ", sql).strip()


if __name__ == "__main__":
    unittest.main()

"""examples/python/crew_runs.py against a PostgreSQL server of its own.

The table, its constraints, the role and its rights are the real ones; the crew is a stand-in. Run it by
`npm run test:tools`; it needs psycopg 3 and PostgreSQL's server programs.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import sys
import threading
import unittest
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import psycopg
from postgres_server import PostgresServer
from stand_in_crew import Agent, Crew, Process, StreamingOutput, Task

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "examples" / "python"))

import crew_runs  # noqa: E402
from crew_runs import (  # noqa: E402
    CrewRuns,
    ResultNotStoredError,
    RunConflictError,
    RunLostError,
    ToolsFailedError,
    crew_config,
    text_of,
)

PAGE = (ROOT / "docs" / "writing-runs.md").read_text(encoding="utf-8")
NO_PATIENCE = timedelta(0)


class WithTable(unittest.TestCase):
    """Tests with the table, and the role that the page makes."""

    server: PostgresServer

    @classmethod
    def setUpClass(cls) -> None:
        if not hasattr(WithTable, "server"):
            WithTable.server = PostgresServer()
            atexit.register(cls.server.remove)
            cls.server.execute((ROOT / "schema.sql").read_text(encoding="utf-8"))
            [role] = re.findall(r"```sql\n(create role [^`]*)```", PAGE)
            cls.server.execute(role)

    def setUp(self) -> None:
        self.runs = self.make_runs()

    def make_runs(self, **options: Any) -> CrewRuns:
        return CrewRuns(self.server.url("crew_runs_writer"), **options)

    def accept(self, crew: Any = Crew(), *args: Any, **more: Any) -> UUID:
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

    def assert_ended(self, run_id: UUID, **values: str | None) -> None:
        """The run's status, result and error, and that its times are there."""
        run = self.find(run_id)
        expected = {"status": "completed", "result": None, "error": None, **values}
        if values.keys() == {"error"}:
            expected["status"] = "failed"
        self.assertEqual({name: getattr(run, name) for name in expected}, expected)
        self.assertLessEqual(run.created_at, run.started_at)
        self.assertLessEqual(run.started_at, run.completed_at)


class KickoffTests:
    """What depends on the crew. make_crew() makes a stand-in, or a Crew of CrewAI's."""

    def make_crew(self, answer: Callable[[], str], **options: Any) -> Any:
        raise NotImplementedError

    def test_a_run_is_pending_then_running_then_completed(self) -> None:
        seen = []

        def answer() -> str:
            seen.append(self.find(run_id))
            return "# Trams"

        crew = self.make_crew(answer)
        inputs = {"city": "Brno", "since": 2020}
        run_id = self.accept(crew, inputs, crew_type="trams")
        pending = self.find(run_id)
        self.assertEqual(
            (pending.status, pending.owner_id, pending.correlation_id),
            ("pending", "owner", "request-1"),
        )
        self.assertEqual(pending.crew_type, "trams")
        self.assertEqual(pending.task_input, inputs)
        self.assertIsNone(pending.started_at)
        self.assertEqual(self.runs.kickoff(run_id, crew, inputs).raw, "# Trams")
        self.assertEqual(
            [(run.status, run.result) for run in seen], [("running", None)]
        )
        self.assert_ended(run_id, result="# Trams")

    def test_an_error_of_the_crew_fails_the_run_and_is_raised_again(self) -> None:
        for error in (ValueError("the key sk-123 is wrong"), KeyboardInterrupt()):
            crew = self.make_crew(mock.Mock(side_effect=error))
            run_id = self.accept(crew)
            with self.assertRaises(type(error)):
                self.runs.kickoff(run_id, crew, {"city": "Brno"})
            reason = f"The crew stopped with {type(error).__name__}."
            self.assert_ended(run_id, error=reason)

    def test_crew_config_has_no_inputs_of_an_earlier_kickoff(self) -> None:
        crew = self.make_crew(lambda: "done")
        before = crew_config(crew)
        self.assertIn("{city}", str(before))
        inputs = {"city": "a secret of user A"}
        self.runs.kickoff(self.accept(crew, inputs), crew, inputs)
        self.assertIn("a secret of user A", crew.tasks[0].description)
        run_of_b = self.find(self.accept(crew, {"city": "Brno"}, owner_id="B"))
        self.assertEqual(run_of_b.crew_config, before)

    def test_a_crew_that_streams_isnt_started(self) -> None:
        crew = self.make_crew(lambda: "done", stream=True)
        if not hasattr(crew, "stream"):
            self.skipTest("CrewAI streams since 1.6.0")
        run_id = self.accept(crew)
        with self.assertRaisesRegex(ValueError, "stream"):
            self.runs.kickoff(run_id, crew, {"city": "Brno"})
        self.assertEqual(self.find(run_id).status, "pending")

    def test_what_a_callback_returns_is_the_result(self) -> None:
        for returned, result in (("kept", "kept"), ({"ž": [1]}, '{"ž": [1]}')):
            callback = mock.Mock(return_value=returned)
            crew = self.make_crew(lambda: "done", after_kickoff_callbacks=[callback])
            run_id = self.accept(crew)
            output = self.runs.kickoff(run_id, crew, {"city": "Brno"})
            self.assertEqual(output, returned)
            self.assert_ended(run_id, result=result)

    def test_akickoff_is_recorded(self) -> None:
        crew = self.make_crew(lambda: "done")
        if not hasattr(crew, "akickoff"):
            self.skipTest("CrewAI has akickoff since 1.7.0")
        run_id = self.accept(crew)

        async def work() -> None:
            async with self.runs.record(run_id) as run:
                run.complete(await crew.akickoff({"city": "Brno"}))

        asyncio.run(work())
        self.assert_ended(run_id, result="done")


class StandInTest(KickoffTests, WithTable):
    def make_crew(self, answer: Callable[[], str], **options: Any) -> Any:
        return Crew(lambda inputs: answer(), **options)


class CrewRunsTest(WithTable):
    def test_a_message_delivered_twice_makes_one_run_and_one_kickoff(self) -> None:
        kickoffs = mock.Mock(return_value="done")
        run_id = uuid4()
        self.assertEqual(self.accept(run_id=run_id), run_id)
        accepted = self.find(run_id)
        self.assertEqual(self.accept(run_id=run_id), run_id)
        self.assertEqual(self.find(run_id), accepted)
        self.runs.kickoff(run_id, Crew(kickoffs))
        with self.assertRaisesRegex(RunLostError, "isn't pending"):
            self.runs.kickoff(run_id, Crew(kickoffs))
        kickoffs.assert_called_once()
        completed = self.find(run_id)
        self.assertEqual(self.accept(run_id=run_id), run_id)
        self.assertEqual(self.find(run_id), completed)

    def test_a_run_of_another_owner_or_request_isnt_accepted(self) -> None:
        run_id = self.accept()
        accepted = self.find(run_id)
        for difference in ({"owner_id": "B"}, {"correlation_id": "request-2"}):
            with self.assertRaises(RunConflictError):
                self.accept(run_id=run_id, **difference)
        self.assertEqual(self.find(run_id), accepted)

    def test_the_crew_gets_the_arguments_of_crewais_kickoff(self) -> None:
        kickoff = mock.Mock(return_value="done")
        crew: Any = SimpleNamespace(kickoff=kickoff, tasks=[])
        self.runs.kickoff(self.accept(), crew)
        files, checkpoint = {"map": object()}, object()
        self.runs.kickoff(
            self.accept(),
            crew,
            {"city": "Brno"},
            input_files=files,
            from_checkpoint=checkpoint,
        )
        self.assertEqual(
            kickoff.mock_calls,
            [
                mock.call(None),
                mock.call(
                    {"city": "Brno"}, input_files=files, from_checkpoint=checkpoint
                ),
            ],
        )

    def test_failures_of_tools_are_logged_and_fail_the_run_if_wanted(self) -> None:
        failures = [SimpleNamespace(tool_name="web_search", message="no network")]
        # A callback may replace the output that has the failures.
        for callbacks in ([], [lambda output: output.raw]):
            crew: Any = Crew(failures=failures, after_kickoff_callbacks=callbacks)
            run_id = self.accept()
            with self.assertLogs(crew_runs.logger, "WARNING") as logs:
                self.runs.kickoff(run_id, crew)
            self.assertIn("the tool web_search failed: no network", logs.output[0])
            self.assert_ended(run_id, result="done")
            strict = self.make_runs(fail_on_tool_failures=True)
            run_id = self.accept()
            with (
                self.assertLogs(crew_runs.logger, "WARNING"),
                self.assertRaises(ToolsFailedError) as raised,
            ):
                strict.kickoff(run_id, crew)
            self.assertEqual(text_of(raised.exception.output), "done")
            reason = "The crew stopped with ToolsFailedError."
            self.assert_ended(run_id, error=reason)
        healthy = self.accept()
        self.make_runs(fail_on_tool_failures=True).kickoff(healthy, Crew())
        self.assert_ended(healthy, result="done")

    def test_the_back_end_may_describe_errors_itself(self) -> None:
        runs = self.make_runs(describe_error=lambda error: "Too\0 slow.")
        run_id = self.accept()
        with self.assertRaises(TimeoutError):
            runs.kickoff(run_id, Crew(mock.Mock(side_effect=TimeoutError)))
        self.assert_ended(run_id, error="Too slow.")

    def give_up_and_return(self, text: str) -> Callable[[Any], str]:
        def answer(inputs: Any) -> str:
            self.server.execute("select pg_sleep(0.01)")
            self.assertGreaterEqual(self.runs.give_up(timedelta(milliseconds=1)), 1)
            return text

        return answer

    def test_a_run_that_was_given_up_isnt_completed_or_failed_later(self) -> None:
        lost, failed = self.accept(), self.accept()
        with self.assertRaisesRegex(RunLostError, "given up") as raised:
            self.runs.kickoff(lost, Crew(self.give_up_and_return("late")))
        self.assertEqual(text_of(raised.exception.output), "late")
        with (
            self.assertLogs(crew_runs.logger, "WARNING"),
            self.assertRaisesRegex(ZeroDivisionError, "in the block"),
            self.runs.record(failed),
        ):
            self.give_up_and_return("")(None)
            raise ZeroDivisionError("in the block")
        for run_id in (lost, failed):
            self.assert_ended(run_id, error="The run was abandoned.")

    def test_give_up_fails_only_runs_that_are_older_than_the_limit(self) -> None:
        recent = [self.accept(), self.accept()]
        old = [self.accept(), self.accept()]
        for run_id in (recent[1], old[1]):
            self.runs.start(run_id)
        times = "created_at = created_at - interval '2 hours', started_at = started_at - interval '2 hours'"
        self.server.execute(
            f"update crew_runs set {times} where id in ('{old[0]}', '{old[1]}')"
        )

        def statuses() -> list[str]:
            return [self.find(run_id).status for run_id in (*recent, *old)]

        limit = timedelta(hours=1)
        self.assertEqual(self.runs.give_up(limit), 1)
        self.assertEqual(statuses(), ["pending", "running", "pending", "failed"])
        self.assertEqual(self.runs.give_up(limit, pending_limit=limit), 1)
        self.assertEqual(statuses(), ["pending", "running", "failed", "failed"])
        self.assertEqual(self.find(old[0]).error, "The run was abandoned.")

    def test_each_transition_happens_once_and_only_in_its_state(self) -> None:
        run_id = self.accept()
        with self.assertRaises(RunLostError):
            self.runs.complete(run_id, "too early")
        self.runs.start(run_id)
        with self.assertRaises(RunLostError):
            self.runs.start(run_id)
        self.runs.complete(run_id, "done")
        completed = self.find(run_id)
        # The reply to the first statement may have been lost.
        self.runs.complete(run_id, "done")
        for end in (self.runs.complete, self.runs.fail):
            with self.assertRaises(RunLostError):
                end(run_id, "something else")
        self.assertEqual(self.find(run_id), completed)
        self.assert_ended(run_id, result="done")

        waiting = self.accept()
        self.runs.fail(waiting, "nobody free")
        failed = self.find(waiting)
        self.runs.fail(waiting, "nobody free")
        with self.assertRaises(RunLostError):
            self.runs.start(waiting)
        self.assertEqual(self.find(waiting), failed)
        self.assertEqual((failed.status, failed.error), ("failed", "nobody free"))
        self.assertIsNone(failed.started_at)

    def test_a_creation_time_ahead_of_the_databases_clock_stops_no_transition(
        self,
    ) -> None:
        completing, failing = self.accept(), self.accept()
        self.server.execute(
            "update crew_runs set created_at = now() + interval '1 minute' where status = 'pending'"
        )
        self.runs.start(completing)
        self.runs.complete(completing, "")
        self.runs.fail(failing, "")
        self.assert_ended(completing, result="")

    def test_a_result_survives_an_outage_of_the_database(self) -> None:
        def answer(inputs: Any) -> str:
            self.server.stop()
            restart = threading.Timer(0.5, self.server.start)
            restart.start()
            self.addCleanup(restart.join)
            return "done"

        run_id = self.accept()
        with self.assertLogs(crew_runs.logger, "WARNING") as logs:
            self.runs.kickoff(run_id, Crew(answer))
        self.assertIn("the database can't be reached", logs.output[0])
        self.assert_ended(run_id, result="done")

    def stop_server(self, inputs: Any = None) -> str:
        self.server.stop()
        self.addCleanup(lambda: self.is_stopped and self.server.start())
        self.is_stopped = True
        return "an hour's work"

    def start_server(self) -> None:
        self.server.start()
        self.is_stopped = False

    def test_a_result_that_cant_be_stored_is_in_the_error_and_can_be_stored_later(
        self,
    ) -> None:
        runs = self.make_runs(patience=NO_PATIENCE)
        run_id = self.accept()
        with self.assertRaises(ResultNotStoredError) as raised:
            runs.kickoff(run_id, Crew(self.stop_server))
        self.start_server()
        self.assertEqual(self.find(run_id).status, "running")
        self.assertEqual(raised.exception.run_id, run_id)
        runs.complete(raised.exception.run_id, raised.exception.output)
        self.assert_ended(run_id, result="an hour's work")

    def test_the_end_of_a_run_is_written_for_minutes_with_growing_pauses(self) -> None:
        now_seconds = 0.0
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            nonlocal now_seconds
            now_seconds += seconds
            pauses.append(seconds)

        run_id = self.accept()
        clock = SimpleNamespace(monotonic=lambda: now_seconds, sleep=sleep)
        with (
            self.assertLogs(crew_runs.logger, "WARNING"),
            mock.patch.object(crew_runs, "time", clock),
            self.assertRaises(ResultNotStoredError),
        ):
            self.runs.kickoff(run_id, Crew(self.stop_server))
        self.assertEqual(pauses, sorted(pauses))
        self.assertGreater(now_seconds, 5 * 60)
        self.assertGreater(pauses[-1], pauses[0])

    def test_an_error_of_the_crew_is_raised_though_the_database_is_gone(self) -> None:
        runs = self.make_runs(patience=NO_PATIENCE)
        with (
            self.assertLogs(crew_runs.logger, "WARNING"),
            self.assertRaisesRegex(ZeroDivisionError, "in the block"),
            runs.record(self.accept()),
        ):
            self.stop_server()
            raise ZeroDivisionError("in the block")

    def test_a_block_that_neither_completes_nor_fails_is_an_error(self) -> None:
        run_id = self.accept()
        with self.assertRaisesRegex(RuntimeError, "neither completed nor failed"):
            with self.runs.record(run_id):
                pass
        self.assert_ended(run_id, error="The crew stopped with RuntimeError.")

    def test_a_block_may_fail_its_run(self) -> None:
        run_id = self.accept()
        with self.runs.record(run_id) as run:
            run.fail("There are no trams.")
        self.assert_ended(run_id, error="There are no trams.")

    def test_a_result_outlives_an_error_after_it(self) -> None:
        run_id = self.accept()
        with self.assertRaises(ZeroDivisionError), self.runs.record(run_id) as run:
            run.complete("done")
            raise ZeroDivisionError
        self.assert_ended(run_id, result="done")

    def test_what_isnt_a_result_yet_fails_the_run(self) -> None:
        coroutine = Crew().akickoff()
        self.addCleanup(coroutine.close)
        # A flow that pauses for a person returns an exception.
        for output in (StreamingOutput(), coroutine, RuntimeError("paused")):
            run_id = self.accept()
            with (
                self.assertRaisesRegex(TypeError, "isn't a result"),
                self.runs.record(run_id) as run,
            ):
                run.complete(output)
            self.assert_ended(run_id, error="The crew stopped with TypeError.")

    def test_the_texts_of_other_results(self) -> None:
        model = SimpleNamespace(model_dump_json=lambda: '{"a":1}')
        for output, text in (
            ("", ""),
            (SimpleNamespace(raw="raw"), "raw"),
            (model, '{"a":1}'),
            (None, "null"),
            ({1, 1}, "{1}"),
        ):
            self.assertEqual(text_of(output), text)

    def test_a_coroutine_writes_in_threads(self) -> None:
        threads = []
        write = self.runs._write

        def observed(*args: Any, **values: Any) -> int:
            threads.append(threading.current_thread())
            return write(*args, **values)

        run_id = self.accept()

        async def work() -> None:
            async with self.runs.record(run_id) as run:
                run.complete("done")

        with mock.patch.object(self.runs, "_write", observed):
            asyncio.run(work())
        self.assertEqual(len(threads), 2)
        self.assertNotIn(threading.main_thread(), threads)
        self.assert_ended(run_id, result="done")

    def test_a_cancelled_coroutine_fails_its_run_even_while_it_starts(self) -> None:
        async def work(run_id: UUID, entered: asyncio.Event) -> None:
            async with self.runs.record(run_id):
                entered.set()
                await asyncio.sleep(60)

        async def cancel_in_block() -> UUID:
            run_id, entered = self.accept(), asyncio.Event()
            task = asyncio.create_task(work(run_id, entered))
            await asyncio.wait_for(entered.wait(), 10)
            task.cancel()
            await asyncio.wait([task], timeout=10)
            self.assertTrue(task.cancelled())
            return run_id

        async def cancel_at_start() -> UUID:
            run_id = self.accept()
            starting, go_on = threading.Event(), threading.Event()
            start = self.runs.start

            def slowly(run_id: UUID) -> None:
                starting.set()
                go_on.wait(10)
                start(run_id)

            with mock.patch.object(self.runs, "start", slowly):
                task = asyncio.create_task(work(run_id, asyncio.Event()))
                await asyncio.to_thread(starting.wait, 10)
                task.cancel()
                await asyncio.sleep(0)
                go_on.set()
                await asyncio.wait([task], timeout=10)
            self.assertTrue(task.cancelled())
            return run_id

        for cancel in (cancel_in_block, cancel_at_start):
            run_id = asyncio.run(cancel())
            self.assert_ended(run_id, error="The crew stopped with CancelledError.")

    def test_texts_that_postgres_refuses_are_stored_without_the_characters(
        self,
    ) -> None:
        inputs = {"no\0te": ["\0", ("\ud83d", "\ud83d\ude00", "\\u0000")], "n": 2**60}
        crew: Any = Crew(
            lambda inputs: "done\0 \ud83d\ude00 \udc00", agents=[Agent("Writ\0er")]
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
        self.assertEqual(self.find(self.accept(Crew(), {})).task_input, {})

    def test_crew_config_describes_agents_and_tasks(self) -> None:
        search = SimpleNamespace(name="web_search")
        writer = Agent("Writer", verbose=True)
        crew: Any = Crew(
            agents=[
                Agent("Researcher", tools=[search]),
                # The same role, but not the agent of the task.
                Agent("Writer", allow_delegation=True, tools=None),
                writer,
            ],
            tasks=[
                Task("Find", "A table", writer, [search]),
                Task("Write", "A text", Agent("elsewhere"), None),
                Task("Check", "A text"),
            ],
            process=Process.hierarchical,
            verbose=True,
        )
        agent = {
            "goal": "Know {city}",
            "backstory": "You live in {city}.",
            "verbose": False,
            "allow_delegation": False,
            "tools": [],
        }
        task = {"expected_output": "A text", "tools": []}
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
        program = re.findall(r"```python\n([^`]*)```", PAGE)[0]
        environment = {
            "WRITER_DATABASE_URL": self.server.url("crew_runs_writer"),
            "HOLD": self.server.directory,
        }
        names: dict[str, Any] = {}
        with mock.patch.dict(os.environ, environment):
            exec(program, names)
        self.assert_ended(names["run_id"], result="# trams")
        self.assertEqual(self.find(names["run_id"]).owner_id, "user-1")

    def test_the_writer_can_neither_delete_nor_change_the_table(self) -> None:
        for sql in ("delete from crew_runs", "alter table crew_runs add n int"):
            with (
                psycopg.connect(self.server.url("crew_runs_writer")) as connection,
                self.assertRaises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(sql)


if __name__ == "__main__":
    unittest.main()

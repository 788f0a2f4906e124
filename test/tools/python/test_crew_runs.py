"""examples/python/crew_runs.py against a PostgreSQL server of its own.

The table, its constraints, the role and its rights are the real ones; the crew is a stand-in. Run it by
`npm run test:tools`; it needs psycopg 3 and PostgreSQL's server programs.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import unittest
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import psycopg
from postgres_server import PAGE, ROOT, PostgresServer
from stand_in_crew import Agent, Crew, Process, Task, stream

sys.path.insert(0, str(ROOT / "examples" / "python"))

import crew_runs  # noqa: E402
from crew_runs import CrewRuns, Run, RunLostError, crew_config, text_of  # noqa: E402

server = PostgresServer()


class WithTable(unittest.TestCase):
    """Tests with the table, and the role that the page makes."""

    def setUp(self) -> None:
        self.runs = self.make_runs()

    def make_runs(self, **options: Any) -> CrewRuns:
        return CrewRuns(server.url("crew_runs_writer"), **options)

    def accept(self, crew: Any = Crew(), *args: Any, **more: Any) -> UUID:
        names = {"owner_id": "owner", "correlation_id": "request-1", **more}
        return self.runs.accept(crew, *args, **names)

    def find(self, run_id: UUID) -> Any:
        [run] = server.query("select * from crew_runs where id = %s", run_id)
        return run

    def assert_ended(self, run_id: UUID, *, result: str | None = None, error: str | None = None) -> None:
        run = self.find(run_id)
        status = "completed" if error is None else "failed"
        self.assertEqual((run.status, run.result, run.error), (status, result, error))
        self.assertLessEqual(run.created_at, run.started_at)
        self.assertLessEqual(run.started_at, run.completed_at)


class KickoffTest(WithTable):
    """What depends on the crew: a stand-in, or one of CrewAI's in a class that overrides make_crew()."""

    def make_crew(self, answer: Callable[[], str], **options: Any) -> Any:
        return Crew(lambda inputs: answer(), **options)

    def test_a_run_is_pending_then_running_then_completed(self) -> None:
        inputs = {"city": "Brno", "since": 2020}
        seen = []

        def answer() -> str:
            seen.append(self.find(run_id))
            return "# Trams"

        crew = self.make_crew(answer)
        run_id = self.accept(crew, inputs, crew_type="trams")
        seen.append(self.find(run_id))
        self.assertEqual(self.runs.kickoff(run_id, crew, inputs).raw, "# Trams")
        seen.append(self.find(run_id))
        self.assert_ended(run_id, result="# Trams")
        for run, state in zip(seen, [("pending", None), ("running", None), ("completed", "# Trams")]):
            self.assertEqual((run.status, run.result), state)
            columns = (run.owner_id, run.correlation_id, run.crew_type, run.task_input)
            self.assertEqual(columns, ("owner", "request-1", "trams", inputs))

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
        with self.assertRaises(ValueError):
            self.runs.kickoff(run_id, crew, {"city": "Brno"})
        self.assertEqual(self.find(run_id).status, "pending")

    def test_akickoff_is_recorded_by_other_threads(self) -> None:
        crew = self.make_crew(lambda: "done")
        if not hasattr(crew, "akickoff"):
            self.skipTest("CrewAI has akickoff since 1.7.0")
        run_id = self.accept(crew)
        threads = []
        connect = psycopg.connect

        def observe(*args: Any, **options: Any) -> Any:
            threads.append(threading.current_thread())
            return connect(*args, **options)

        async def work() -> None:
            async with self.runs.record(run_id) as run:
                run.complete(await crew.akickoff({"city": "Brno"}))

        with mock.patch.object(psycopg, "connect", observe):
            asyncio.run(work())
        self.assertTrue(threads)
        self.assertNotIn(threading.main_thread(), threads)
        self.assert_ended(run_id, result="done")


class CrewRunsTest(WithTable):
    def test_a_message_delivered_twice_makes_one_run_and_one_kickoff(self) -> None:
        kickoffs = mock.Mock(return_value="done")
        run_id = uuid4()
        self.assertEqual(self.accept(run_id=run_id), run_id)
        self.assertEqual(self.accept(run_id=run_id), run_id)
        self.runs.kickoff(run_id, Crew(kickoffs))
        completed = self.find(run_id)
        self.assertEqual(self.accept(None, {"another": "input"}, run_id=run_id), run_id)
        with self.assertRaises(RunLostError):
            self.runs.kickoff(run_id, Crew(kickoffs))
        for difference in ({"owner_id": "B"}, {"correlation_id": "request-2"}):
            with self.assertRaises(crew_runs.RunConflictError):
                self.accept(run_id=run_id, **difference)
        kickoffs.assert_called_once()
        self.assertEqual(self.find(run_id), completed)

    def test_the_crew_gets_the_arguments_of_crewais_kickoff(self) -> None:
        kickoff = mock.Mock(return_value="done")
        crew: Any = SimpleNamespace(kickoff=kickoff, tasks=[])
        options = {"input_files": {"map": object()}, "from_checkpoint": object()}
        self.runs.kickoff(self.accept(), crew)
        self.runs.kickoff(self.accept(), crew, {"city": "Brno"}, **options)
        expected = [mock.call(None), mock.call({"city": "Brno"}, **options)]
        self.assertEqual(kickoff.mock_calls, expected)

    def test_failures_of_tools_are_logged_and_fail_the_run_if_wanted(self) -> None:
        failures = [SimpleNamespace(tool_name="web_search", message="no network")]
        strict = self.make_runs(fail_on_tool_failures=True)
        # A callback may replace the output that has the failures.
        for callbacks in ([], [lambda output: output.raw]):
            crew: Any = Crew(failures=failures, after_kickoff_callbacks=callbacks)
            tolerated, failed = self.accept(), self.accept()
            with self.assertLogs(crew_runs.logger, "WARNING") as logs:
                self.runs.kickoff(tolerated, crew)
                with self.assertRaises(crew_runs.ToolsFailedError) as raised:
                    strict.kickoff(failed, crew)
            self.assertRegex(logs.output[0], "web_search.*no network")
            self.assert_ended(tolerated, result="done")
            self.assertEqual(text_of(raised.exception.output), "done")
            self.assert_ended(failed, error="The crew stopped with ToolsFailedError.")
        healthy = self.accept()
        strict.kickoff(healthy, Crew())
        self.assert_ended(healthy, result="done")

    def test_the_back_end_may_describe_errors_itself(self) -> None:
        runs = self.make_runs(describe_error=lambda error: "Too\0 slow.")
        run_id = self.accept()
        with self.assertRaises(TimeoutError):
            runs.kickoff(run_id, Crew(mock.Mock(side_effect=TimeoutError)))
        self.assert_ended(run_id, error="Too slow.")

    def test_a_start_whose_reply_is_lost_is_this_workers_if_it_was_committed(self) -> None:
        commit = psycopg.Connection.commit

        def lose_reply(connection: Any) -> None:
            patch.stop()
            if loser == "slower":
                connection.rollback()
                self.runs.start(run_id)
            else:
                commit(connection)
            connection.close()
            raise psycopg.OperationalError("the connection is lost")

        for loser in (None, "slower", "late"):
            run_id = self.accept()
            if loser == "late":
                self.runs.start(run_id)
            patch = mock.patch.object(psycopg.Connection, "commit", lose_reply)
            patch.start()
            expected = self.assertRaises(RunLostError) if loser else nullcontext()
            with self.subTest(loser=loser), self.assertLogs(crew_runs.logger, "WARNING"), expected:
                self.runs.start(run_id)
            self.assertEqual(self.find(run_id).status, "running")

    def test_each_transition_happens_once_and_only_in_its_state(self) -> None:
        transitions: dict[str, Callable[[UUID], None]] = {
            "start": self.runs.start,
            "complete": lambda run_id: self.runs.complete(run_id, "done"),
            "complete otherwise": lambda run_id: self.runs.complete(run_id, "else"),
            "fail": lambda run_id: self.runs.fail(run_id, "nobody free"),
            "fail otherwise": lambda run_id: self.runs.fail(run_id, "else"),
        }
        ends = set(transitions) - {"start"}
        # After these transitions, those are possible. The last one may be repeated if its reply was lost.
        for earlier, possible in (
            ([], {"start", "fail", "fail otherwise"}),
            (["start"], ends),
            (["start", "complete"], {"complete"}),
            (["start", "fail"], {"fail"}),
            (["fail"], {"fail"}),
        ):
            for name, transition in transitions.items():
                with self.subTest(earlier=earlier, next=name):
                    run_id = self.accept()
                    if name not in earlier:
                        # The database's clock was set back.
                        later = "created_at = now() + interval '1 minute'"
                        server.query(f"update crew_runs set {later} where id = %s", run_id)
                    for each in earlier:
                        transitions[each](run_id)
                    before = self.find(run_id)
                    with nullcontext() if name in possible else self.assertRaises(RunLostError):
                        transition(run_id)
                    if name not in possible or name in earlier:
                        self.assertEqual(self.find(run_id), before)

    def test_a_run_that_was_given_up_isnt_completed_later(self) -> None:
        def answer(inputs: Any) -> str:
            self.runs.fail(run_id, "given up")
            return "late"

        run_id = self.accept()
        with self.assertRaises(RunLostError) as raised:
            self.runs.kickoff(run_id, Crew(answer))
        self.assertEqual(text_of(raised.exception.output), "late")
        self.assert_ended(run_id, error="given up")

    def test_give_up_fails_only_runs_that_are_older_than_the_limit(self) -> None:
        accepted = [self.accept() for _ in range(6)]
        _, old_pending, running, old_running, completed, without_start = accepted
        for run_id in (running, old_running, completed):
            self.runs.start(run_id)
        self.runs.complete(completed, "done")
        earlier = "update crew_runs set {0} = {0} - interval '2 hours' where id = any(%s)"
        server.query(earlier.format("created_at"), accepted[1:])
        server.query(earlier.format("started_at"), [old_running, completed])
        server.query("update crew_runs set status = 'running' where id = %s", without_start)

        limit = timedelta(hours=1)
        for options, count, old_pending_status in (({}, 2, "pending"), ({"pending_limit": limit}, 1, "failed")):
            self.assertEqual(self.runs.give_up(limit, **options), count)
            statuses = [self.find(run_id).status for run_id in accepted]
            self.assertEqual(statuses, ["pending", old_pending_status, "running", "failed", "completed", "failed"])
        for run_id in (old_pending, old_running, without_start):
            self.assertEqual(self.find(run_id).error, "The run was abandoned.")

    def begin_outage(self, setting: str = "nologin") -> None:
        server.query(f"alter role crew_runs_writer {setting}")
        self.addCleanup(self.end_outage)

    def end_outage(self) -> None:
        server.query("alter role crew_runs_writer login; alter role crew_runs_writer reset all")

    def test_a_result_survives_an_outage_of_minutes_and_can_be_stored_after_a_longer_one(self) -> None:
        now_seconds, outage_seconds = 0.0, 500.0

        def sleep(seconds: float) -> None:
            nonlocal now_seconds
            now_seconds += seconds
            if now_seconds > outage_seconds:
                self.end_outage()

        def answer(inputs: Any) -> str:
            # In a failover, the first server that answers may still be a replica.
            self.begin_outage("set default_transaction_read_only = on" if inputs else "nologin")
            return "an hour's work"

        clock = SimpleNamespace(monotonic=lambda: now_seconds, sleep=sleep)
        survived, failover, stored_later = self.accept(), self.accept(), self.accept()
        with self.assertLogs(crew_runs.logger, "WARNING"), mock.patch.object(crew_runs, "time", clock):
            self.runs.kickoff(survived, Crew(answer))
            now_seconds = 0.0
            self.runs.kickoff(failover, Crew(answer), {"city": "Brno"})
            outage_seconds = 10_000.0
            with self.assertRaises(crew_runs.ResultNotStoredError) as raised:
                self.runs.kickoff(stored_later, Crew(answer))
        self.end_outage()
        self.runs.complete(raised.exception.run_id, raised.exception.output)
        for run_id in (survived, failover, stored_later):
            self.assert_ended(run_id, result="an hour's work")

    def test_an_error_of_the_crew_is_raised_though_its_run_cant_fail(self) -> None:
        runs = self.make_runs(patience=timedelta(0))
        given_up, unreachable = self.accept(), self.accept()
        for run_id, prevent in (
            (given_up, lambda: self.runs.fail(given_up, "given up")),
            (unreachable, self.begin_outage),
        ):
            with (
                self.assertLogs(crew_runs.logger, "WARNING"),
                self.assertRaises(ZeroDivisionError),
                runs.record(run_id),
            ):
                prevent()
                raise ZeroDivisionError
        self.assert_ended(given_up, error="given up")

    def test_how_a_block_ends_its_run(self) -> None:
        def complete_and_raise(run: Run) -> None:
            run.complete("done")
            raise ZeroDivisionError

        cases: list[tuple[Callable[[Run], None], Any, dict[str, str]]] = [
            (lambda run: run.fail("No trams."), None, {"error": "No trams."}),
            (complete_and_raise, ZeroDivisionError, {"result": "done"}),
            (lambda run: None, RuntimeError, {"error": "The crew stopped with RuntimeError."}),
            (lambda run: run.complete(stream()), TypeError, {"error": "The crew stopped with TypeError."}),
        ]
        for block, raised, end in cases:
            run_id = self.accept()
            expected = self.assertRaises(raised) if raised else nullcontext()
            with self.subTest(end), expected, self.runs.record(run_id) as run:
                block(run)
            self.assert_ended(run_id, **end)

    def test_the_texts_of_outputs(self) -> None:
        model = SimpleNamespace(model_dump_json=lambda: '{"a":1}')
        for output, text in (
            ("", ""),
            (SimpleNamespace(raw="raw"), "raw"),
            (model, '{"a":1}'),
            (None, "null"),
            ({"ž": [1]}, '{"ž": [1]}'),
            ({1, 1}, "{1}"),
        ):
            self.assertEqual(text_of(output), text)
        coroutine = Crew().akickoff()
        self.addCleanup(coroutine.close)
        # A flow that pauses for a person returns an exception.
        for output in (stream(), coroutine, RuntimeError("paused")):
            with self.assertRaises(TypeError):
                text_of(output)

    def test_a_cancelled_coroutine_fails_its_run_even_while_it_starts(self) -> None:
        start = self.runs.start

        async def work(run_id: UUID, *, while_it_starts: bool) -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None

            def start_slowly(run_id: UUID) -> None:
                if while_it_starts:
                    loop.call_soon_threadsafe(task.cancel)
                start(run_id)

            with mock.patch.object(self.runs, "start", start_slowly):
                async with self.runs.record(run_id):
                    task.cancel()
                    await asyncio.sleep(60)

        for while_it_starts in (False, True):
            run_id = self.accept()
            with self.assertRaises(asyncio.CancelledError):
                asyncio.run(work(run_id, while_it_starts=while_it_starts))
            self.assert_ended(run_id, error="The crew stopped with CancelledError.")

    def test_texts_that_postgres_refuses_are_stored_without_the_characters(self) -> None:
        inputs = {"no\0te": ["\0", ("\ud83d", "\ud83d\ude00", "\\u0000")], "n": 2**60}
        crew: Any = Crew(lambda inputs: "done\0 \ud83d\ude00 \udc00", agents=[Agent("Writ\0er")])
        run_id = self.accept(crew, inputs, correlation_id="re\0quest\ud83d")
        self.runs.kickoff(run_id, crew, inputs)
        run = self.find(run_id)
        self.assertEqual(run.correlation_id, "request\ufffd")
        expected = {"note": ["", ["\ufffd", "\U0001f600", "\\u0000"]], "n": 2**60}
        self.assertEqual(run.task_input, expected)
        self.assertEqual(run.crew_config["agents"][0]["role"], "Writer")
        self.assertEqual(run.result, "done \U0001f600 \ufffd")

    def test_a_run_may_have_neither_inputs_nor_config(self) -> None:
        # As texts, because Python sees None for JSON's null as well.
        texts = "select task_input::text, crew_config::text from crew_runs where id = %s"
        for run_id in self.accept(None), self.accept(Crew(), include_config=False):
            self.assertEqual(server.query(texts, run_id), [(None, None)])
        self.assertEqual(self.find(self.accept(Crew(), {})).task_input, {})
        with self.assertRaises(ValueError):
            self.accept(None, {"not in JSON": float("nan")})

    def test_crew_config_describes_agents_and_tasks(self) -> None:
        search = SimpleNamespace(name="web_search")
        writer = Agent("Writer", verbose=True, tools=[search])
        # The same role, but not the agent of the task.
        namesake = Agent("Writer", allow_delegation=True, tools=None)
        crew: Any = Crew(
            agents=[namesake, writer],
            tasks=[
                Task("Find", "A table", writer, [search]),
                Task("Write", "A text", Agent("elsewhere"), None),
                Task("Check", "A text"),
            ],
            process=Process.hierarchical,
            verbose=True,
        )
        texts = {"role": "Writer", "goal": "Know {city}", "backstory": "You live in {city}."}
        expected = {
            "agents": [
                {**texts, "verbose": False, "allow_delegation": True, "tools": []},
                {**texts, "verbose": True, "allow_delegation": False, "tools": ["web_search"]},
            ],
            "tasks": [
                {"description": "Find", "expected_output": "A table", "agent_index": 1, "tools": ["web_search"]},
                {"description": "Write", "expected_output": "A text", "tools": []},
                {"description": "Check", "expected_output": "A text", "tools": []},
            ],
            "verbose": True,
            "process": "hierarchical",
        }
        self.assertEqual(self.find(self.accept(crew)).crew_config, expected)

    def test_the_program_of_the_page_records_a_run(self) -> None:
        program = re.findall(r"```python\n([^`]*)```", PAGE)[0]
        environment = {"WRITER_DATABASE_URL": server.url("crew_runs_writer"), "HOLD": server.directory}
        names: dict[str, Any] = {}
        with mock.patch.dict(os.environ, environment):
            exec(program, names)
        self.assert_ended(names["run_id"], result="# trams")
        self.assertEqual(self.find(names["run_id"]).owner_id, "user-1")

    def test_the_writer_can_neither_delete_nor_truncate(self) -> None:
        grants = "select privilege_type from information_schema.table_privileges where grantee = 'crew_runs_writer'"
        self.assertEqual({grant for (grant,) in server.query(grants)}, {"SELECT", "INSERT", "UPDATE"})

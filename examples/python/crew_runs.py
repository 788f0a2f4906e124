"""Write the runs of CrewAI crews to the table crew_runs, which crew-run-reader serves.

Copy this file into your back end. It needs Python 3.10 or newer, CrewAI, psycopg 3
(pip install "psycopg[binary]") and the role crew_runs_writer: docs/writing-runs.md.

    runs = CrewRuns(os.environ["WRITER_DATABASE_URL"])

    # In the request. The client polls with the run's id.
    run_id = runs.accept(crew, inputs, owner_id=subject, correlation_id=request_id)

    # In a worker process or a thread:
    output = runs.kickoff(run_id, crew, inputs)

    # Every few minutes, for the runs whose workers have died:
    runs.give_up(timedelta(hours=1))

Use each Crew object for one run. CrewAI's kickoff writes the inputs into the object's
texts, so two kickoffs of one object can mix the inputs of two users.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from crewai import Crew, Task
    from crewai.agents.agent_builder.base_agent import BaseAgent

logger = logging.getLogger(__name__)

# All times are now(), so that they come from one clock, the database's. Each statement
# but START can be repeated when a reply was lost: a second time it changes nothing.
# When START is repeated, _write finds out whether the first one was committed.
ACCEPT = """
insert into crew_runs
  (id, correlation_id, owner_id, status, crew_type, crew_config, task_input)
values
  (%(id)s, %(correlation_id)s, %(owner_id)s, 'pending',
   %(crew_type)s, %(crew_config)s, %(task_input)s)
on conflict (id) do update set id = excluded.id
where crew_runs.owner_id = excluded.owner_id
  and crew_runs.correlation_id = excluded.correlation_id
"""
START = """
update crew_runs
set status = 'running', started_at = greatest(now(), created_at)
where id = %(id)s and status = 'pending'
"""
COMPLETE = """
update crew_runs
set status = 'completed', result = %(result)s,
    completed_at = coalesce(completed_at, greatest(now(), started_at))
where id = %(id)s
  and (status = 'running' or (status = 'completed' and result = %(result)s))
"""
FAIL = """
update crew_runs
set status = 'failed', error = %(error)s,
    completed_at = coalesce(completed_at, greatest(now(), started_at, created_at))
where id = %(id)s
  and (status in ('pending', 'running') or (status = 'failed' and error = %(error)s))
"""
GIVE_UP = """
update crew_runs
set status = 'failed', error = 'The run was abandoned.',
    completed_at = greatest(now(), started_at, created_at)
where (status = 'running'
       and coalesce(started_at, created_at) < now() - %(limit)s::interval)
   or (status = 'pending' and created_at < now() - %(pending_limit)s::interval)
"""

# A server that is gone is noticed within half a minute, even while it owes a reply or,
# by tcp_user_timeout, while it hasn't acknowledged what was sent.
CONNECTION: dict[str, Any] = {"connect_timeout": 10, "keepalives_idle": 10}
CONNECTION |= {"keepalives_interval": 5, "keepalives_count": 4}
CONNECTION |= {"tcp_user_timeout": 30_000}
# The database can't be reached, is locked, or is a replica during a failover.
UNAVAILABLE = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
LONGEST_PAUSE_SECONDS = 30.0
# For all but the end of a run: nothing is lost, and the caller can try again.
SHORT_PATIENCE = timedelta(seconds=5)


class RunError(Exception):
    """The output attribute is what the crew returned, or None."""

    def __init__(self, message: str, run_id: UUID, output: object = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.output = output


class RunConflictError(RunError):
    """The id belongs to a run of another owner or with another correlation id."""


class RunLostError(RunError):
    """Another worker has the run, or it has ended: it was given up, for example."""


class ResultNotStoredError(RunError):
    """The database can't be reached. Call complete(run_id, output) again later."""


class ToolsFailedError(RunError):
    """A tool failed, and fail_on_tool_failures is set."""


def describe_error(error: BaseException) -> str:
    """Say why a run failed, in words for its owner.

    The error's own message is left out: messages of model providers and tools may
    contain keys, prompts, or data of other users.
    """
    return f"The crew stopped with {type(error).__name__}."


class CrewRuns:
    """The table crew_runs, for the back end that writes it.

    describe_error returns the text of a failed run. Failures of tools are logged; with
    fail_on_tool_failures, they fail the run. While the database can't be reached, the
    end of a run is written again and again for as long as patience lasts.

    Each statement opens its own connection: a crew takes minutes, and Neon may suspend
    the compute below a connection that was idle that long. There is no heartbeat,
    because the table has no column for one: give_up() fails the runs of dead workers.
    """

    def __init__(
        self,
        database_url: str,
        *,
        describe_error: Callable[[BaseException], str] = describe_error,
        fail_on_tool_failures: bool = False,
        patience: timedelta = timedelta(minutes=10),
    ) -> None:
        self._database_url = database_url
        self._describe_error = describe_error
        self._fail_on_tool_failures = fail_on_tool_failures
        self._patience = patience

    def accept(
        self,
        crew: Crew | None,
        inputs: Mapping[str, Any] | None = None,
        *,
        owner_id: str,
        correlation_id: str,
        crew_type: str | None = None,
        run_id: UUID | None = None,
        include_config: bool = True,
    ) -> UUID:
        """Insert a pending run and return its id.

        owner_id is the subject ("sub") of the owner's access tokens, exactly. The owner
        can read the crew's goals, backstories and descriptions, unless include_config
        is False; without a crew there is none. A message that may be delivered twice needs a run_id: the second time
        changes nothing. Raises RunConflictError if that id has another owner or
        correlation id, and one of UNAVAILABLE if the database can't be reached.
        """
        run_id = run_id or uuid4()
        has_config = include_config and crew is not None
        config = Jsonb(storable(crew_config(crew))) if has_config else None
        accepted = self._write(
            ACCEPT,
            SHORT_PATIENCE,
            id=run_id,
            correlation_id=storable(correlation_id),
            owner_id=owner_id,
            crew_type=storable(crew_type),
            crew_config=config,
            task_input=None if inputs is None else Jsonb(storable(inputs), strict_json),
        )
        if accepted == 0:
            raise RunConflictError(f"another run has the id {run_id}", run_id)
        return run_id

    def kickoff(
        self,
        run_id: UUID,
        crew: Crew,
        inputs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Execute the crew as this run; return what CrewAI's kickoff returns.

        options are its other arguments, such as input_files and from_checkpoint. Raises
        ValueError if the crew streams; otherwise what record() raises.
        """
        if getattr(crew, "stream", False):
            raise ValueError("a crew with stream=True returns no result")
        with self.record(run_id) as run:
            output = crew.kickoff(None if inputs is None else dict(inputs), **options)
            run.complete(output, crew)
        return output

    def record(self, run_id: UUID) -> Run:
        """Make a with block, or an async with block, this run: see Run."""
        return Run(self, run_id)

    def start(self, run_id: UUID) -> None:
        """Make a pending run running. Raises RunLostError if it isn't pending."""
        if self._write(START, SHORT_PATIENCE, id=run_id) == 0:
            raise RunLostError(f"run {run_id} isn't pending", run_id)

    def complete(self, run_id: UUID, output: object) -> None:
        """Make a running run completed; its result is text_of(output).

        To complete it again changes nothing. Raises RunLostError if it isn't running,
        and ResultNotStoredError if the database can't be reached. Both have the output.
        """
        result = storable(text_of(output))
        try:
            completed = self._write(COMPLETE, self._patience, id=run_id, result=result)
        except psycopg.Error as error:
            message = f"the result of run {run_id} isn't stored: {error}"
            raise ResultNotStoredError(message, run_id, output) from error
        if completed == 0:
            message = f"run {run_id} had ended, or was given up, before it completed"
            raise RunLostError(message, run_id, output)

    def fail(self, run_id: UUID, reason: str) -> None:
        """Make a pending or running run failed; its owner can read the reason.

        To fail it again changes nothing. Raises RunLostError if it has ended otherwise,
        and one of UNAVAILABLE if the database can't be reached.
        """
        if self._write(FAIL, self._patience, id=run_id, error=storable(reason)) == 0:
            raise RunLostError(f"run {run_id} had ended before it failed", run_id)

    def give_up(
        self, limit: timedelta, *, pending_limit: timedelta | None = None
    ) -> int:
        """Fail the runs that started longer ago than the limit; return their number.

        The limit must be longer than the slowest crew takes. With pending_limit, runs
        that were accepted longer ago and haven't started fail, too. Otherwise clients
        poll a run forever that no worker will start.
        """
        limits = {"limit": limit, "pending_limit": pending_limit}
        return self._write(GIVE_UP, SHORT_PATIENCE, **limits)

    def _write(self, statement: str, patience: timedelta, **values: object) -> int:
        """Execute a statement in its own transaction; return the number of rows.

        While the database can't be reached, it is repeated after growing pauses. If a
        repetition finds nothing to change, the first one may have been committed and
        only its reply lost: then the row is counted.
        """
        deadline = time.monotonic() + patience.total_seconds()
        pause_seconds = 0.5
        transaction = None
        while True:
            try:
                with psycopg.connect(self._database_url, **CONNECTION) as connection:
                    connection.execute("set local lock_timeout = '5s'")
                    count = connection.execute(statement, values).rowcount
                    if count > 0:
                        query = "select pg_current_xact_id()::text"
                        transaction = connection.execute(query).fetchone()[0]
                    elif transaction is not None:
                        query = "select pg_xact_status(%s::xid8)"
                        state = connection.execute(query, [transaction]).fetchone()[0]
                        count = int(state == "committed")
                return count
            except UNAVAILABLE as error:
                if time.monotonic() + pause_seconds > deadline:
                    raise
                logger.warning("the database can't be reached: %s", error)
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


class Run:
    """A run while it is worked on: a flow, or a crew's akickoff(), for example.

        with runs.record(run_id) as run:
            run.complete(flow.kickoff())

        async with runs.record(run_id) as run:
            run.complete(await crew.akickoff(inputs))

    The block starts the run, or raises RunLostError if it isn't pending. The outcome is
    written when the block ends, in asyncio by a thread, and raises what complete() and
    fail() of CrewRuns raise. An error in the block fails the run, unless complete() or
    fail() came before. A block that calls neither fails the run with a RuntimeError.
    """

    def __init__(self, runs: CrewRuns, run_id: UUID) -> None:
        self.id = run_id
        self._runs = runs
        self._end: Callable[[], None] | None = None

    def complete(self, output: object, crew: Crew | None = None) -> None:
        """Choose the result: text_of(output).

        With fail_on_tool_failures, raises ToolsFailedError if a tool failed. Failures
        are in the output, or in the crew's tasks if a callback replaced the output.
        """
        outputs = [output]
        if crew is not None and not hasattr(output, "tool_failures"):
            outputs = [task.output for task in crew.tasks]
        # CrewAI has them since its version 1.15.9.
        lists = [getattr(each, "tool_failures", None) or [] for each in outputs]
        failures = [failure for failures in lists for failure in failures]
        for failure in failures:
            text = "run %s: the tool %s failed: %s"
            logger.warning(text, self.id, failure.tool_name, failure.message)
        if failures and self._runs._fail_on_tool_failures:
            raise ToolsFailedError(f"a tool failed in run {self.id}", self.id, output)
        text_of(output)  # Fails here, if at all, so that the run fails.
        self._end = lambda: self._runs.complete(self.id, output)

    def fail(self, reason: str) -> None:
        """Choose to fail, for a reason that the owner can read."""
        self._end = lambda: self._runs.fail(self.id, reason)

    def __enter__(self) -> Run:
        self._runs.start(self.id)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._end is not None:
            self._end()
            return
        # Ctrl-C and SystemExit end the run, too.
        cause = error or RuntimeError(f"run {self.id} neither completed nor failed")
        try:
            self._runs.fail(self.id, self._runs._describe_error(cause))
        except (RunLostError, psycopg.Error) as trouble:
            logger.warning("the failure of run %s isn't stored: %s", self.id, trouble)
        if error is None:
            raise cause

    async def __aenter__(self) -> Run:
        start = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError as error:
            await asyncio.wait([start])
            if start.exception() is None:
                await self.__aexit__(None, error, None)
            raise

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self.__exit__, *error)


def text_of(output: object) -> str:
    """Return the text of what a crew, a flow or a callback returned.

    This is the raw text of a CrewOutput, and JSON of other values if possible. Raises
    TypeError for a stream, a coroutine that wasn't awaited, and a flow that paused.
    """
    if isinstance(output, (AsyncIterable, Awaitable, BaseException)):
        raise TypeError(f"{type(output).__name__} isn't a result yet")
    raw = getattr(output, "raw", output)
    if isinstance(raw, str):
        return raw
    if hasattr(output, "model_dump_json"):
        return str(output.model_dump_json())
    try:
        return json.dumps(output, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(output)


def crew_config(crew: Crew) -> dict[str, Any]:
    """Describe the crew as readers of the run see it.

    The texts are those before a kickoff, with placeholders such as {city}: a kickoff
    writes its inputs into them, which may be another user's. Ids are left out, because
    CrewAI makes new ones in each process.
    """
    positions = {agent.id: position for position, agent in enumerate(crew.agents)}

    def position_of(agent: BaseAgent | None) -> dict[str, int]:
        # In a hierarchical crew, the manager chooses the agents of tasks without one.
        if agent is None or agent.id not in positions:
            return {}
        return {"agent_index": positions[agent.id]}

    return {
        "agents": [
            {
                **originals(agent, "role", "goal", "backstory"),
                "verbose": bool(agent.verbose),
                "allow_delegation": bool(agent.allow_delegation),
                "tools": [tool.name for tool in agent.tools or []],
            }
            for agent in crew.agents
        ],
        "tasks": [
            {
                **originals(task, "description", "expected_output"),
                **position_of(task.agent),
                "tools": [tool.name for tool in task.tools or []],
            }
            for task in crew.tasks
        ],
        "verbose": bool(crew.verbose),
        "process": crew.process.value,
    }


def originals(part: BaseAgent | Task, *names: str) -> dict[str, str]:
    """Return texts as they were before CrewAI's kickoff wrote the inputs into them."""
    kept = {name: getattr(part, f"_original_{name}", None) for name in names}
    return {n: getattr(part, n) if text is None else text for n, text in kept.items()}


def strict_json(value: Any) -> str:
    """Raises ValueError for NaN and infinity, which JSON can't express."""
    return json.dumps(value, allow_nan=False)


def storable(value: Any) -> Any:
    """Remove what Postgres can't store from all texts of a JSON value.

    Models do write such characters: NUL is removed, and half of a surrogate pair
    becomes U+FFFD.
    """
    if isinstance(value, str):
        utf_16 = value.replace("\0", "").encode("utf-16", "surrogatepass")
        return utf_16.decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    return value

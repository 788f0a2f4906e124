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
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from crewai import Crew
    from crewai.agents.agent_builder.base_agent import BaseAgent
    from crewai.crews.crew_output import CrewOutput

logger = logging.getLogger(__name__)

# The statements of docs/writing-runs.md. All times are now(), so that they come from
# one clock, the database's. To complete or fail a run a second time changes nothing, so
# both can be repeated when a reply was lost.
ACCEPT = """
insert into crew_runs
  (id, correlation_id, owner_id, status, crew_type, crew_config, task_input)
values
  (%(id)s, %(correlation_id)s, %(owner_id)s, 'pending',
   %(crew_type)s, %(crew_config)s, %(task_input)s)
on conflict (id) do nothing
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
    completed_at = greatest(now(), started_at)
where status = 'running' and started_at < now() - %(limit)s::interval
"""

CONNECT_TIMEOUT_SECONDS = 10
RETRY_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)


class RunLostError(Exception):
    """Another worker has the run, or it was given up."""


def describe_error(error: BaseException) -> str:
    """Say why a run failed, in words for its owner.

    The error's own message is left out: messages of model providers and tools may
    contain keys, prompts, or data of other users.
    """
    return f"The crew stopped with {type(error).__name__}."


class CrewRuns:
    """The table crew_runs, for the back end that writes it.

    Each statement opens its own connection: a crew takes minutes, and Neon may suspend
    the compute below a connection that was idle that long. If you have many short runs,
    use a psycopg_pool.ConnectionPool instead.

    There is no heartbeat, because the table has no column for one. If a worker dies,
    its run stays "running" until give_up() fails it.
    """

    def __init__(
        self,
        database_url: str,
        *,
        describe_error: Callable[[BaseException], str] = describe_error,
    ) -> None:
        self._database_url = database_url
        self._describe_error = describe_error

    def accept(
        self,
        crew: Crew,
        inputs: Mapping[str, Any] | None = None,
        *,
        owner_id: str,
        correlation_id: str,
        crew_type: str | None = None,
        run_id: UUID | None = None,
        include_config: bool = True,
    ) -> UUID:
        """Insert a pending run and return its id.

        If there is a run with this id already, nothing changes: a message that is
        delivered twice makes one run. owner_id is the subject ("sub") of the owner's
        access tokens, exactly. The owner can read the crew's goals, backstories and
        descriptions, unless include_config is False.
        """
        run_id = run_id or uuid4()
        config = Jsonb(storable(crew_config(crew))) if include_config else None
        self._write(
            ACCEPT,
            id=run_id,
            correlation_id=correlation_id,
            owner_id=owner_id,
            crew_type=crew_type,
            crew_config=config,
            task_input=None if inputs is None else Jsonb(storable(inputs)),
        )
        return run_id

    def kickoff(
        self, run_id: UUID, crew: Crew, inputs: Mapping[str, Any] | None = None
    ) -> CrewOutput:
        """Execute the crew as this run and return its output.

        If the crew raises an error, the run fails and the error is raised again.
        RunLostError is raised before the crew starts if the run isn't pending, and
        after it has ended if the run was given up meanwhile.

        The crew mustn't stream. In asyncio, use
        await asyncio.to_thread(runs.kickoff, run_id, crew, inputs).
        """
        if self._write(START, id=run_id) == 0:
            raise RunLostError(f"run {run_id} isn't pending")
        try:
            # The other type is that of crews that stream.
            output = cast("CrewOutput", crew.kickoff(dict(inputs) if inputs else None))
            result = storable(output.raw)
        except BaseException as error:  # Ctrl-C and SystemExit end the run, too.
            reason = storable(self._describe_error(error))
            if self._write(FAIL, id=run_id, error=reason) == 0:
                logger.warning("run %s had been given up before it failed", run_id)
            raise
        if self._write(COMPLETE, id=run_id, result=result) == 0:
            raise RunLostError(f"run {run_id} had been given up before it completed")
        return output

    def give_up(self, limit: timedelta) -> int:
        """Fail the runs that started longer ago than the limit; return their number.

        The limit must be longer than the slowest crew takes.
        """
        return self._write(GIVE_UP, limit=limit)

    def _write(self, statement: str, **values: object) -> int:
        """Execute a statement in its own transaction; return the number of rows.

        It is repeated for a quarter of a minute, because a short outage mustn't cost
        the result of a crew that took an hour.
        """
        for pause_seconds in RETRY_PAUSES_SECONDS:
            try:
                return self._try_to_write(statement, values)
            except psycopg.OperationalError as error:
                logger.warning("the database can't be reached: %s", error)
                time.sleep(pause_seconds)
        return self._try_to_write(statement, values)

    def _try_to_write(self, statement: str, values: Mapping[str, object]) -> int:
        with psycopg.connect(
            self._database_url, connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as connection:
            return connection.execute(statement, values).rowcount


def crew_config(crew: Crew) -> dict[str, Any]:
    """Describe the crew as readers of the run see it.

    Call it before the kickoff, which replaces placeholders such as {city} in the
    crew's texts. Ids are left out, because CrewAI makes new ones in each process.
    """
    positions = {agent.id: position for position, agent in enumerate(crew.agents)}

    def agent_index(agent: BaseAgent | None) -> int:
        # In a hierarchical crew, the manager chooses the agents of tasks without one.
        return 0 if agent is None else positions.get(agent.id, 0)

    return {
        "agents": [
            {
                "role": agent.role,
                "goal": agent.goal,
                "backstory": agent.backstory,
                "verbose": bool(agent.verbose),
                "allow_delegation": bool(agent.allow_delegation),
                "tools": [tool.name for tool in agent.tools or []],
            }
            for agent in crew.agents
        ],
        "tasks": [
            {
                "description": task.description,
                "agent_index": agent_index(task.agent),
                "expected_output": task.expected_output,
                "tools": [tool.name for tool in task.tools or []],
            }
            for task in crew.tasks
        ],
        "verbose": bool(crew.verbose),
        "process": crew.process.value,
    }


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

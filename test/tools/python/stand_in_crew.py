"""A crew without models, with those attributes and habits of CrewAI's that crew_runs uses.

Written by the source of CrewAI 1.15.17: crew.py, task.py and agents/agent_builder/base_agent.py. A kickoff writes the
inputs into the crew's texts and keeps the originals, callbacks may replace the output, and a crew that streams
returns an output without a text. test_real_crewai.py runs the same tests with CrewAI itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4


class Process(str, Enum):
    sequential = "sequential"
    hierarchical = "hierarchical"


class Interpolated:
    """Something with texts that a kickoff overwrites."""

    def interpolate(self, inputs: dict[str, Any], *names: str) -> None:
        for name in names:
            text = getattr(self, f"_original_{name}", None) or getattr(self, name)
            setattr(self, f"_original_{name}", text)
            for key, value in inputs.items():
                text = text.replace("{" + key + "}", str(value))
            setattr(self, name, text)


@dataclass
class Agent(Interpolated):
    role: str = "Guide to {city}"
    goal: str = "Know {city}"
    backstory: str = "You live in {city}."
    verbose: bool = False
    allow_delegation: bool = False
    tools: list[Any] | None = field(default_factory=list)
    id: UUID = field(default_factory=uuid4)


@dataclass
class Task(Interpolated):
    description: str = "Describe {city}."
    expected_output: str = "A text about {city}"
    agent: Agent | None = None
    tools: list[Any] | None = field(default_factory=list)
    output: Any = None


async def stream() -> AsyncIterator[str]:
    """As a crew with stream=True returns it: it has no text before it was read."""
    yield "d"


@dataclass
class Crew:
    """answer takes the inputs and returns the text of the last task."""

    answer: Callable[[Any], str] = lambda inputs: "done"
    agents: list[Agent] = field(default_factory=lambda: [Agent()])
    tasks: list[Task] = field(default_factory=lambda: [Task()])
    process: Process = Process.sequential
    verbose: bool = False
    stream: bool = False
    after_kickoff_callbacks: list[Callable[[Any], Any]] = field(default_factory=list)
    failures: list[Any] = field(default_factory=list)

    def kickoff(self, inputs: dict[str, Any] | None = None) -> Any:
        if self.stream:
            return stream()
        if inputs is not None:
            for task in self.tasks:
                task.interpolate(inputs, "description", "expected_output")
            for agent in self.agents:
                agent.interpolate(inputs, "role", "goal", "backstory")
        output: Any = SimpleNamespace(raw=self.answer(inputs), tool_failures=self.failures)
        for task in self.tasks:
            task.output = output
        for callback in self.after_kickoff_callbacks:
            output = callback(output)
        return output

    async def akickoff(self, inputs: dict[str, Any] | None = None) -> Any:
        return self.kickoff(inputs)

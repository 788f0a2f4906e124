"""The tests of test_crew_runs.py that depend on the crew, with CrewAI's own classes and a model that is a function.

Skipped if CrewAI isn't installed, unless REQUIRE_CREWAI is set: .github/workflows/crewai.yml sets it.
"""

from __future__ import annotations

import os
import unittest
from collections.abc import Callable
from typing import Any

import test_crew_runs

try:
    import crewai
except ModuleNotFoundError:
    if "REQUIRE_CREWAI" in os.environ:
        raise
    raise unittest.SkipTest("CrewAI isn't installed") from None


class CrewaiTest(test_crew_runs.KickoffTest):
    def make_crew(self, answer: Callable[[], str], **options: Any) -> Any:
        class FakeModel(crewai.BaseLLM):
            def call(self, *_: Any, **__: Any) -> str:
                return f"Thought: I know.\nFinal Answer: {answer()}"

            async def acall(self, *_: Any, **__: Any) -> str:
                return self.call()

        model = FakeModel(model="fake")
        agent = crewai.Agent(role="Guide to {city}", goal="Know {city}", backstory="You live in {city}.", llm=model)
        task = crewai.Task(description="Describe {city}.", expected_output="A text about {city}", agent=agent)
        return crewai.Crew(agents=[agent], tasks=[task], **options)

"""The crew that a test gives to examples/python/app.py. It works for as long as the file HOLD/topic exists."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from stand_in_crew import Crew

HOLD_SECONDS = 60


def make_crew() -> Any:
    return Crew(answer)


def answer(inputs: dict[str, str]) -> str:
    hold = Path(os.environ["HOLD"], inputs["topic"])
    deadline = time.monotonic() + HOLD_SECONDS
    while hold.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return f"# {inputs['topic']}"

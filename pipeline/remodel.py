"""Another model."""

from __future__ import annotations

from typing import Any

from .job import Job


def run(job: Job, run: str) -> dict[str, Any]:
    raise NotImplementedError

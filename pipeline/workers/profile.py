"""`--profile FILE`: where a run spent its time, as JSON."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...schemas.phases import phase_seconds
from ...transforms import metrics


def seconds_since_start() -> float:
    """Wall seconds since this process started, including interpreter start and imports."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5): start time after boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def profile_report(start_s: float) -> dict[str, Any]:
    """Time spent by this process so far.

    `start_s` is the wall time of interpreter start and imports. `phases` are wall seconds. `stages` holds the counters of
    each stage, `busy_ms` (work, summed over threads) and `wait_ms` (time that others waited for the stage). `processor_s`
    are CPU seconds of this process, and of its decoder processes that have ended.
    """
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "start_s": round(start_s, 3),
        "wall_s": round(seconds_since_start(), 3),
        "processor_s": {
            "process": round(own.ru_utime + own.ru_stime, 3),
            "decoders": round(children.ru_utime + children.ru_stime, 3),
        },
        "phases": phase_seconds(),
        "stages": metrics.totals(),
    }


@contextmanager
def profiled(file: str) -> Iterator[None]:
    """Writes the profile to `file` when the context ends, also after an error. An empty `file` turns it off."""
    start_s = seconds_since_start()
    try:
        yield
    finally:
        if file:
            Path(file).write_text(json.dumps(profile_report(start_s), indent=1))

"""Wall time of the phases of this process, by name. `--profile` reports it next to the counters of each stage."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_seconds: dict[str, float] = defaultdict(float)
_lock = threading.Lock()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Adds the wall time of the context to a phase. Phases may nest and run on several threads; times are summed."""
    started = time.monotonic()
    try:
        yield
    finally:
        with _lock:
            _seconds[name] += time.monotonic() - started


def phase_seconds() -> dict[str, float]:
    """Wall seconds of each phase since this process started."""
    with _lock:
        return {name: round(seconds, 3) for name, seconds in _seconds.items()}

"""Counters of each stage: Beam's own metrics for every runner, and a local sum for the progress line of this process."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics

_lock = threading.Lock()
_totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))


def totals() -> dict[str, dict[str, int]]:
    """What the stages in this process have counted since it started: stage -> counter -> value."""
    with _lock:
        return {stage: dict(counters) for stage, counters in _totals.items()}


class StageMetrics:
    """Counts of one stage. `busy_ms` is work done (threads add up), `wait_ms` time that the line stood still for it.

    Beam's counters belong to the thread that runs a bundle; those that helper threads add reach Beam with the next
    `flush` on that thread.
    """

    def __init__(self, stage: str):
        self.stage = stage
        self._pending: dict[str, int] = defaultdict(int)

    def add(self, **counts: int) -> None:
        with _lock:
            for name, count in counts.items():
                _totals[self.stage][name] += count
                self._pending[name] += count

    def flush(self) -> None:
        """Hands what was counted to Beam. Call it on the thread that runs the bundle."""
        with _lock:
            pending, self._pending = dict(self._pending), defaultdict(int)
        for name, count in pending.items():
            Metrics.counter("reelbeam", f"{self.stage}/{name}").inc(count)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        yield from self._timed("wait_ms")

    @contextmanager
    def busy(self) -> Iterator[None]:
        yield from self._timed("busy_ms")

    def _timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(**{name: int(1000 * (time.monotonic() - started))})
            self.flush()

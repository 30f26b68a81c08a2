"""Counters of each stage: Beam metrics for every runner, and local sums for the progress line of this process."""

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
    """Counters of the stages in this process since its start: stage -> counter -> value."""
    with _lock:
        return {stage: dict(counters) for stage, counters in _totals.items()}


def add_totals(gained: dict[str, dict[str, int]]) -> None:
    """Adds what the stages of a worker process have counted."""
    with _lock:
        for stage, counters in gained.items():
            for name, count in counters.items():
                _totals[stage][name] += count


class StageMetrics:
    """Counters of one stage. `busy_ms` is working time, summed over threads; `wait_ms` is time that others waited for it.

    Beam accepts counters only on the thread that runs a bundle. Counts from helper threads reach Beam with the next `flush`
    on that thread.
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
        """Passes the pending counts to Beam. Call it on the thread that runs the bundle."""
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

"""Counters of each stage: Beam metrics for every runner, and local sums for the progress line of this process."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics
from apache_beam.runners.runner import PipelineResult

NAMESPACE = "reelbeam"
"""Beam's namespace of our counters."""

_lock = threading.Lock()
_totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))


_lengths: dict[str, int] = {}


def set_length(queue: str, length: int) -> None:
    """Notes how many wait in a queue now, for those who watch."""
    with _lock:
        _lengths[queue] = length


def lengths() -> dict[str, int]:
    """The newest length of each queue of this process."""
    with _lock:
        return dict(_lengths)


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


def beam_totals(result: PipelineResult) -> dict[str, dict[str, int]]:
    """Beam's own sums of our counters after a run on another engine, as `totals` gives them."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for counter in result.metrics().query()["counters"]:
        stage, _, name = counter.key.metric.name.partition("/")
        if counter.key.metric.namespace == NAMESPACE and name:
            found[stage][name] = found[stage].get(name, 0) + (counter.result or 0)
    return dict(found)


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
            Metrics.counter(NAMESPACE, f"{self.stage}/{name}").inc(count)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        yield from self._timed("wait_ms")

    @contextmanager
    def busy(self, flush: bool = True) -> Iterator[None]:
        """Helper threads do not flush."""
        yield from self._timed("busy_ms", flush)

    def _timed(self, name: str, flush: bool = True) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(**{name: int(1000 * (time.monotonic() - started))})
            if flush:
                self.flush()

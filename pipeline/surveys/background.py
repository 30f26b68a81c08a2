"""Values that are computed once per snapshot, in the background: whoever asks gets a state at once, and the value when it is there."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from ...schemas.errors import UsageError

log = logging.getLogger("reelbeam")

Value = TypeVar("Value")

MOST_KEPT = 32
"""Values of one snapshot that are kept; the one that was asked for longest ago goes first."""

SLOW_S = 1.0
"""What takes longer is logged."""

MOST_WAITING = 8
"""Values that are computed or wait for it. A further one is refused, so that a flood of requests can't fill the memory."""


@dataclass(frozen=True)
class Computed(Generic[Value]):
    """The state of a value."""

    state: Literal["computing", "done", "failed", "busy"]
    value: Value | None = None
    """Set when done."""
    message: str = ""
    """Why it failed, with a cure."""


class Background:
    """Computes values in one thread, one after the other. Values of an older snapshot are dropped as soon as a newer one is asked for:
    they may name videos that were purged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "reelbeam-survey")
        self._snapshot = -1
        self._values: OrderedDict[Hashable, Future[object]] = OrderedDict()

    def get(self, key: Hashable, snapshot: int, compute: Callable[[], Value], wait_s: float = 0.0) -> Computed[Value]:
        """The value of `key` in a snapshot, or its state. The first call starts `compute`; waits for it at most `wait_s`.

        A UsageError of `compute` becomes the message of the state "failed"; other errors are logged.
        """
        with self._lock:
            if snapshot != self._snapshot:
                self._forget()
                self._snapshot = snapshot
            found = self._values.get(key)
            if found is None:
                if sum(not one.done() for one in self._values.values()) >= MOST_WAITING:
                    return Computed("busy", message="too much is being computed; try again in a minute")
                found = self._values[key] = self._thread.submit(_timed, key, compute)
                while len(self._values) > MOST_KEPT:
                    self._values.popitem(last=False)[1].cancel()
            self._values.move_to_end(key)
        try:
            return Computed("done", found.result(wait_s))  # type: ignore[arg-type]
        except TimeoutError:
            return Computed("computing")
        except UsageError as error:
            return Computed("failed", message=str(error))
        except Exception as error:
            return Computed("failed", message=f"{type(error).__name__}; the server's log says more")

    def _forget(self) -> None:
        for one in self._values.values():
            one.cancel()
        self._values.clear()

    def close(self) -> None:
        """Drops everything. What is being computed runs to its end, and nobody sees it."""
        with self._lock:
            self._forget()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _timed(key: Hashable, compute: Callable[[], Value]) -> Value:
    started = time.monotonic()
    try:
        value = compute()
    except UsageError:
        raise
    except Exception:
        log.exception("%s could not be computed", key)
        raise
    took_s = time.monotonic() - started
    log.log(logging.INFO if took_s >= SLOW_S else logging.DEBUG, "computed %.200r in %.1f s", key, took_s)
    return value

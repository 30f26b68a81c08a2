"""A worker process: takes tasks from a socket, sends back results, logs and counters, and never outlives its launcher.

It ends when the socket closes, whatever it is doing; and it dies with its template, which dies with the launcher.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COUNT_EVERY_S = 0.5
KILL_FIRST = 500
"""oom_score_adj: when memory runs out, Linux kills a worker, which costs a wave, and not the launcher."""


class Link:
    """The worker's end of the socket. Any thread may send."""

    def __init__(self, fd: int):
        self._connection = Connection(fd)
        self._lock = threading.Lock()
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, kind: str, *values: Any) -> None:
        """Sends one message. Raises what pickle raises for a value that cannot be sent; nothing was sent then."""
        block = pickle.dumps((kind, *values))
        with self._lock:
            self._connection.send_bytes(block)

    def receive(self) -> None:
        """Queues tasks until the launcher is gone; then this process ends at once."""
        try:
            while True:
                self.tasks.put(self._connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)


class Forward(logging.Handler):
    """Sends log lines to the launcher."""

    def __init__(self, link: Link):
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("apitools not found"):  # Beam's, and nothing that users can do about it
            return
        with suppress(OSError):
            self._link.send("log", record.name, record.levelno, self.format(record))


class Counting:
    """Sends what the counters of the stages have gained."""

    def __init__(self, link: Link):
        from ...transforms import metrics

        self._totals, self._link = metrics.totals, link
        self._sent: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def send(self) -> None:
        with self._lock:
            now = self._totals()
            gained = {
                stage: {name: value - self._sent.get(stage, {}).get(name, 0) for name, value in counters.items()}
                for stage, counters in now.items()
            }
            if any(value for counters in gained.values() for value in counters.values()):
                self._link.send("counts", gained)
            self._sent = now

    def forever(self) -> None:
        while not threading.Event().wait(COUNT_EVERY_S):
            with suppress(OSError):
                self.send()


def main(fd: int) -> None:
    """Does tasks until the launcher closes the socket."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(KILL_FIRST))
    link = Link(fd)
    threading.Thread(target=link.receive, name="launcher", daemon=True).start()
    _forward_logs(link)
    counting = Counting(link)
    threading.Thread(target=counting.forever, name="counters", daemon=True).start()
    do, given = pickle.loads(link.tasks.get())
    link.send("ready")
    while True:
        task = link.tasks.get()
        try:
            message: tuple[Any, ...] = "done", do(pickle.loads(task), given)
        except Exception as error:
            message = "error", *_sendable(error)
        counting.send()
        link.send(*message)


def _forward_logs(link: Link) -> None:
    """The levels are the command line's: our own lines from INFO up, everybody else's from WARNING up."""
    logging.basicConfig(level=logging.WARNING, handlers=[Forward(link)], force=True)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.getLogger("reelbeam").setLevel(logging.INFO)


def _sendable(error: Exception) -> tuple[Exception, str]:
    """The error, or a RuntimeError of the same words when it cannot be pickled; and its traceback."""
    told = "".join(traceback.format_exception(error))
    with suppress(Exception):
        again: Callable[[bytes], Any] = pickle.loads
        if type(again(pickle.dumps(error))) is type(error):
            return error, told
    return RuntimeError(f"{type(error).__name__}: {error}"), told

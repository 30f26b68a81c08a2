"""Runs a function over pieces of work in N worker processes, and yields the results in order.

A worker that dies (out of memory, SIGKILL, a crash in native code) costs the piece that it was at. The piece is tried once
more, then in halves, until the one item that kills is alone: `lost` says what to do with that one instead.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ...transforms import metrics
from .shares import Share
from .tasks import Item, Task, Waiting
from .template import Forked, Template

log = logging.getLogger("reelbeam")

Result = TypeVar("Result")

AHEAD = 4
"""Pieces a worker that may be done before an earlier one is: it bounds what the launcher holds."""

MOST_STARTS = 5
"""How often in a row a worker is started that is killed before it is ready. One that ends by itself is not started again."""


@dataclass
class Seat:
    """One running worker, and what it is at."""

    share: Share
    process: Forked
    link: Connection
    folder: Path
    starts: int = 1
    """How often it was started in a row without getting ready."""
    ready: bool = False
    task: Task[Any] | None = None


@dataclass
class Piece(Generic[Result]):
    """What is known of a piece: the results of its tasks by position, and how many tasks are left."""

    left: int = 1
    results: dict[int, Result] = field(default_factory=dict)
    error: BaseException | None = None


class Pool(Generic[Item, Result]):
    """N workers that call `do(items, given)`. Use it as a context: leaving it ends every worker at once.

    `do` must be a function of a module that the workers can import. `lost(item, why)` turns an item that killed its worker
    each time into one that does not: it is tried in this form, and if that kills too, WorkerDied is raised. `needs` are modules that
    are imported once for all workers; they must start no threads and open no GPU when they are imported.
    """

    def __init__(
        self,
        do: Callable[[Sequence[Item], Any], Result],
        shares: Sequence[Share],
        given: Callable[[Share], Any],
        lost: Callable[[Item, str], Item],
        needs: Sequence[str] = (),
    ):
        self._do, self._shares, self._given, self._lost, self._needs = do, shares, given, lost, needs
        self._template: Template | None = None
        self._seats: list[Seat] = []
        self.deaths = 0

    def __enter__(self) -> Self:
        self._calm = _stop_on_sigterm()
        self._calm.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for seat in self._seats:
                seat.process.kill()
            for seat in self._seats:
                self._bury(seat)
            self._seats.clear()
            if self._template:
                self._template.close()
                self._template = None
        finally:
            self._calm.__exit__(kind, error, trace)

    def run(self, pieces: Sequence[Sequence[Item]]) -> Iterator[list[Result]]:
        """For each piece, in order, the results of its tasks in order: one, or more where workers died.

        Raises what `do` raised, after the results of all earlier pieces.
        """
        waiting = Waiting(pieces)
        open_pieces = {number: Piece[Result]() for number in range(len(pieces))}
        for share in self._shares[: len(pieces)]:
            self._seats.append(self._seat(share))
        for number in range(len(pieces)):
            piece = open_pieces[number]
            while piece.left and piece.error is None:
                self._step(waiting, open_pieces, number + AHEAD * len(self._shares))
            del open_pieces[number]
            if piece.error is not None:
                raise piece.error
            yield [piece.results[at] for at in sorted(piece.results)]

    def _step(self, waiting: Waiting[Item], pieces: dict[int, Piece[Result]], until: int) -> None:
        """Gives idle workers tasks of pieces before `until`, and takes what workers say."""
        for seat in self._seats:
            if seat.ready and seat.task is None and (task := waiting.next(until)):
                seat.task = task
                with contextlib.suppress(OSError):  # it has just died: its closed socket says so below
                    seat.link.send_bytes(pickle.dumps(seat.task.items))
        metrics.set_length("waves_waiting", len(waiting))
        metrics.set_length("workers_busy", sum(seat.task is not None for seat in self._seats))
        for link in wait([seat.link for seat in self._seats]):
            seat = next(seat for seat in self._seats if seat.link is link)
            try:
                kind, *values = seat.link.recv()
            except (EOFError, OSError):
                self._replace(seat, waiting, pieces)
                continue
            self._take(seat, kind, values, pieces)

    def _take(self, seat: Seat, kind: str, values: list[Any], pieces: dict[int, Piece[Result]]) -> None:
        if kind == "log":
            name, level, text = values
            said = "worker %d: %s", seat.share.number, text
            logging.getLogger(name).log(level, *said, extra={"worker": seat.share.number})
        elif kind == "counts":
            metrics.add_totals(values[0])
        elif kind == "ready":
            seat.ready = True
        else:
            task, seat.task = seat.task, None
            assert task is not None
            piece = pieces[task.piece]
            if kind == "done":
                piece.results[task.at] = values[0]
                piece.left -= 1
            else:
                error, told = values
                error.add_note(f"in worker {seat.share.number}:\n{told}")
                piece.error = error

    def _replace(self, seat: Seat, waiting: Waiting[Item], pieces: dict[int, Piece[Result]]) -> None:
        """A worker died: its task goes back, and a new worker takes its place."""
        self._bury(seat)
        why = _ending(code := seat.process.wait())
        if not seat.ready and (code >= 0 or seat.starts >= MOST_STARTS):
            raise WorkerDied(f"worker {seat.share.number} ended before it was ready ({why}); its own words are above")
        self.deaths += 1
        if seat.task is not None:
            if seat.task.given_up:
                raise WorkerDied(
                    f"worker {seat.share.number} was killed ({why}) although what killed it had been given up"
                )
            left = seat.task.after_death(why, self._lost)
            log.warning(
                "worker %d was killed (%s); %d videos or parts are tried again%s",
                seat.share.number,
                why,
                len(seat.task.items),
                " in halves" if len(left) > 1 else "",
            )
            pieces[seat.task.piece].left += len(left) - 1
            waiting.again.extendleft(reversed(left))
        self._seats[self._seats.index(seat)] = self._seat(seat.share, 1 if seat.ready else seat.starts + 1)

    def _seat(self, share: Share, starts: int = 1) -> Seat:
        """Starts a worker. Its temporary files lie in a folder of its own, which is removed when it has ended."""
        folder = Path(tempfile.mkdtemp(prefix=f"reelbeam-worker-{share.number}-"))
        own, its = socket.socketpair()
        try:
            process = self._forked({"TMPDIR": str(folder), **share.environment}, its)
        except BaseException:
            own.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            its.close()
        seat = Seat(share, process, Connection(own.detach()), folder, starts)
        with contextlib.suppress(OSError):  # a worker that could not start: the next wait says so
            seat.link.send_bytes(pickle.dumps((self._do, self._given(share))))
        return seat

    def _forked(self, environment: Mapping[str, str], link: socket.socket) -> Forked:
        """A new process, of a new template where the last one has died."""
        for _ in range(MOST_STARTS):
            self._template = self._template or Template(self._needs)
            try:
                return self._template.fork(environment, link)
            except EOFError:
                self._template.close()
                self._template = None
        raise WorkerDied("workers cannot be started; the words of the process that starts them are above")

    @staticmethod
    def _bury(seat: Seat) -> None:
        seat.link.close()
        with contextlib.suppress(TimeoutError):
            seat.process.wait(10)  # it ends by itself when its socket is closed
        seat.process.kill()
        seat.process.wait()
        shutil.rmtree(seat.folder, ignore_errors=True)


class WorkerDied(RuntimeError):
    """A worker could not be started, or died where nothing can be done about it."""


def _ending(code: int) -> str:
    """
    >>> _ending(-9), _ending(3)
    ('signal SIGKILL', 'exit code 3')
    """
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the launcher as an exception would, so that it takes its workers and their files with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Makes batches from arrays: pure functions, and a queue of jobs that threads run ahead of the reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import numpy as np
import torch

from .buffers import Recycled
from .row_groups import Columns

Batch = dict[str, Any]
"""Name -> tensor [n, ...], or a list of Python objects."""

Done = TypeVar("Done")


def ahead(pool: Executor, jobs: Iterable[Callable[[], Done]], many: int) -> Iterator[Done]:
    """Yields the results of jobs, in order. At most `many` jobs run or wait ahead of the reader."""
    waiting: deque[Future[Done]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def is_run(starts: np.ndarray) -> bool:
    """Whether the numbers are consecutive.

    >>> is_run(np.array([4, 5, 6])), is_run(np.array([4, 6]))
    (True, False)
    """
    return bool((np.diff(starts) == 1).all())


def picked(places: np.ndarray) -> slice | np.ndarray:
    """Positions as an index: a slice when they are consecutive, because NumPy copies a slice in one piece."""
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) and is_run(places) else places


def spans(lows: np.ndarray, highs: np.ndarray, start: int, stop: int) -> np.ndarray:
    """All numbers of the spans [low, high), rising, that lie in [start, stop): int64.

    >>> spans(np.array([0, 8]), np.array([4, 12]), 2, 10).tolist()
    [2, 3, 8, 9]
    """
    lows, highs = np.maximum(lows, start), np.minimum(highs, stop)
    kept = highs > lows
    lows, highs = lows[kept], highs[kept]
    lengths = highs - lows
    shift = np.repeat(lows - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) if len(lengths) else 0
    return np.arange(lengths.sum()) + shift


def cut(steps: Iterable[tuple[int, int, int]], parts: Iterator[tuple[int, Columns]]) -> Iterator[list[Columns]]:
    """The pieces of the read arrays that make up each step, as views."""
    columns: Columns = {}
    left = at = 0
    for start, stop, _ in steps:
        pieces, missing = [], stop - start
        while missing:
            if not left:
                (left, columns), at = next(parts), 0
            taken = min(left, missing)
            pieces.append({name: values[at : at + taken] for name, values in columns.items()})
            left, at, missing = left - taken, at + taken, missing - taken
        yield pieces


def joined(pieces: list[Columns], memory: Recycled) -> Columns:
    """Joins pieces into one batch. The reader may change its memory."""
    return {name: _joined([piece[name] for piece in pieces], memory) for name in pieces[0]}


def _joined(pieces: list[np.ndarray], memory: Recycled) -> np.ndarray:
    if len(pieces) == 1 and pieces[0].flags.writeable:  # our own memory, with no other rows in it
        return pieces[0]
    shape = (sum(len(piece) for piece in pieces), *pieces[0].shape[1:])
    return np.concatenate(pieces, out=memory.empty(shape, pieces[0].dtype))


def as_batch(columns: Columns) -> Batch:
    """Tensors that share the arrays' memory; arrays of objects become lists."""
    return {
        name: values.tolist() if values.dtype == object else torch.from_numpy(values)
        for name, values in columns.items()
    }

"""Does the work of a Beam stage in worker processes: one item at a time, results in the order of the items."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from .pool import Pool
from .shares import Share

Item = TypeVar("Item")
Result = TypeVar("Result")
Taken = TypeVar("Taken", contravariant=True)
Made = TypeVar("Made", covariant=True)


class Work(Hashable, Protocol[Taken, Made]):
    """What a stage does with an item. It can be pickled; `setup` is called once in each process."""

    def setup(self) -> None: ...
    def done(self, task: Taken, /) -> Made: ...


def each_in_workers(
    work: Work[Item, Result], items: Sequence[Item], shares: Sequence[Share], killed: Callable[[Item, str], Item]
) -> list[Result]:
    """What `work` makes of each item, by one worker process a share. `killed(item, why)` is called for an item whose worker died
    each time; it raises the error that ends the work, or gives an item to try instead."""
    with Pool(_do, shares, lambda share: work, killed, [type(work).__module__]) as pool:
        return [result for results in pool.run([[item] for item in items]) for one in results for result in one]


def _do(items: Sequence[Any], work: Work[Any, Any]) -> list[Any]:
    """In a worker."""
    return [_ready(work).done(item) for item in items]


@functools.lru_cache(maxsize=1)
def _ready(work: Work[Any, Any]) -> Work[Any, Any]:
    """A worker process has one piece of work, and sets it up once."""
    work.setup()
    return work

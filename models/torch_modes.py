"""Modes of torch for a block of code, restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from .devices import cpu_threads

Given = TypeVar("Given")
Made = TypeVar("Made")


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch on one thread and restores the setting afterwards.

    When decoders fill all cores, short operations wait longer for a second thread than they run (measured: up to ten times).
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(do: Callable[[Given], Made], batches: Sequence[Given]) -> list[Made]:
    """What `do` makes of each batch, in order. As many batches as there are cores run at a time, each on one thread of torch.

    So what a batch gives does not depend on the number of cores: with one thread, torch takes other convolutions than with several.
    And it takes less time than one batch after the other on all threads, which wait for the slowest after each operation.
    """
    return list(_lanes(cpu_threads()).map(do, batches))


@lru_cache(maxsize=1)
def _lanes(count: int) -> ThreadPoolExecutor:
    """Threads in which torch uses no others."""
    import torch

    pool, ready, before = ThreadPoolExecutor(count, "lane"), threading.Barrier(count), torch.get_num_threads()

    def begin(_: int) -> None:
        torch.get_num_threads()  # a thread takes the process's number when it is first asked
        torch.set_num_threads(1)
        ready.wait()

    list(pool.map(begin, range(count)))
    torch.set_num_threads(before)  # the number that was set last is the process's
    return pool

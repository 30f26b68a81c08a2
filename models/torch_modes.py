"""Modes of torch for a block of code, restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from .devices import own_cores

Given = TypeVar("Given")
Made = TypeVar("Made")

_setting = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch on one thread in the calling thread, and restores its setting afterwards. Other threads notice nothing.

    When decoders fill all cores, short operations wait longer for a second thread than they run (measured: up to ten times).
    """
    import torch

    threads = torch.get_num_threads()
    _set_own_threads(1)
    try:
        yield
    finally:
        _set_own_threads(threads)


def _set_own_threads(count: int) -> None:
    """Sets torch's number of threads for the calling thread alone.

    `torch.set_num_threads` sets it for the calling thread and for each that asks for the first time later. So a second thread, which
    sees the number of the process, puts that back.
    """
    import torch

    with _setting, ThreadPoolExecutor(1, "torch-number") as second:
        process = second.submit(torch.get_num_threads).result()
        torch.get_num_threads()  # a thread takes the process's number when it first asks, even after it has set its own
        torch.set_num_threads(count)
        second.submit(torch.set_num_threads, process).result()


def side_by_side(do: Callable[[Given], Made], batches: Sequence[Given], device: str = "cpu") -> list[Made]:
    """What `do` makes of each batch, in order. As many batches as this process has cores run at a time, each on one thread of torch.

    So what a batch gives does not depend on the number of cores: with one thread, torch takes other convolutions than with several.
    And it takes less time than one batch after the other on all threads, which wait for the slowest after each operation. On a GPU one
    batch runs after the other.
    """
    if device != "cpu":
        return [do(batch) for batch in batches]
    return list(_lanes(own_cores()).map(do, batches))


@lru_cache(maxsize=1)
def _lanes(count: int) -> ThreadPoolExecutor:
    """Threads in which torch uses no others."""
    return ThreadPoolExecutor(count, "lane", _set_own_threads, (1,))

"""Modes of torch and of the processor for a block of code, restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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


@contextmanager
def no_denormals() -> Iterator[None]:
    """Rounds numbers below 2e-308 to 0 in this thread, where the processor can.

    In digital silence a filter's state decays into them, and each costs 100 times the time of another number. Use it where
    values of that size count for nothing.
    """
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)

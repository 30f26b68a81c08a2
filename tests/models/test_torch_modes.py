"""Batches side by side: in order, each on one thread of torch, and nobody else's number of threads is touched."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from reelbeam.models import torch_modes
from reelbeam.models.clip import ClipSpec
from reelbeam.models.devices import cpu_threads
from reelbeam.models.profiles import OFFLINE_CLIP
from reelbeam.models.torch_modes import one_thread, side_by_side


def test_results_come_in_order_from_threads_with_one_thread_of_torch_each() -> None:
    before = torch.get_num_threads()

    def seen(at: int) -> tuple[int, int, str]:
        torch.ones(100, 100) @ torch.ones(100, 100)
        return at, torch.get_num_threads(), threading.current_thread().name

    found = side_by_side(seen, range(40))
    assert [at for at, _, _ in found] == list(range(40))
    assert {threads for _, threads, _ in found} == {1}
    assert len({name for _, _, name in found}) <= cpu_threads()
    assert torch.get_num_threads() == before


def test_an_error_of_a_batch_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda at: 1 // at, [1, 0])


def test_a_block_on_one_thread_leaves_other_threads_and_the_process_alone() -> None:
    before = torch.get_num_threads()
    inside, begun = threading.Event(), threading.Event()

    def block() -> tuple[int, int, int]:
        outside = torch.get_num_threads()
        with one_thread(), one_thread():
            inside.set()
            assert begun.wait(10)
            own = torch.get_num_threads()
        return outside, own, torch.get_num_threads()

    def begins_meanwhile() -> int:
        assert inside.wait(10)
        with one_thread():  # ends while the other is still inside, and must put back what it would have seen alone
            pass
        begun.set()
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        of_block, of_other = pool.submit(block), pool.submit(begins_meanwhile)
        assert of_block.result() == (before, 1, before)
        assert of_other.result() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before == torch.get_num_threads()


def test_an_embedding_is_the_same_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ClipSpec("mini", OFFLINE_CLIP).load("cpu")
    size = max(encoder.pixels.size)
    frames = np.random.default_rng(0).integers(0, 256, (20, size, size, 3), dtype=np.uint8)
    found = []
    for cores in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", cores)
        found.append(encoder.encode(frames))
    torch_modes._lanes.cache_clear()
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])

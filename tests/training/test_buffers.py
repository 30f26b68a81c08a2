"""Memory for batches is lent again when nobody holds it, and never while somebody does."""

from __future__ import annotations

import numpy as np
import torch

from reelbeam.pipeline.training.buffers import MOST_FREE, Recycled


def test_memory_is_lent_again_only_when_no_array_or_tensor_uses_it() -> None:
    memory = Recycled()
    first = memory.empty((1000, 10), np.dtype(np.float32))
    place = first.ctypes.data
    tensor = torch.from_numpy(first[3:])
    del first
    assert memory.empty((1000, 10), np.dtype(np.float32)).ctypes.data != place
    del tensor
    found = {memory.empty((1000, 10), np.dtype(np.float32)).ctypes.data for _ in range(3)}
    assert place in found or len(found) == 1


def test_what_is_free_and_never_fits_is_forgotten() -> None:
    memory = Recycled()
    held = [memory.empty((1000,), np.dtype(np.uint8)) for _ in range(100)]
    assert len({each.ctypes.data for each in held}) == 100
    del held
    memory.empty((100_000,), np.dtype(np.uint8))
    assert len(memory._pieces) == MOST_FREE + 1

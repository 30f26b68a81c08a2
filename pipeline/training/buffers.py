"""Memory for batches: reused when no array or tensor refers to it. Fresh pages cost more than the copy into them."""

from __future__ import annotations

import math
import sys
import threading

import numpy as np

MOST_FREE = 16
"""Free buffers that are kept for reuse: a few per column."""


def _references(pieces: list[np.ndarray], at: int) -> int:
    return sys.getrefcount(pieces[at])


_OURS_ALONE = _references([np.empty(0)], 0)
"""Reference count, as measured here, of an array that only the list of buffers refers to."""


class Recycled:
    """Allocates arrays of any shape from reused buffers. A buffer is reused when no array or tensor refers to it."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__()  # type: ignore[misc]  # another process has memory of its own

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Like numpy.empty. Arrays of objects are always new."""
        if dtype.hasobject:
            return np.empty(shape, dtype)
        count = math.prod(shape)
        size = count * dtype.itemsize
        with self._lock:
            for at in range(len(self._pieces)):
                if size <= len(self._pieces[at]) <= 2 * size + 64 and self._is_free(at):
                    piece = self._pieces[at]
                    break
            else:
                piece = np.empty(size + size // 4, np.uint8)
                self._drop_unused()
                self._pieces.append(piece)
            return piece[:size].view(dtype).reshape(shape)

    def _is_free(self, at: int) -> bool:
        """Whether no array or tensor refers to a buffer."""
        return _references(self._pieces, at) <= _OURS_ALONE

    def _drop_unused(self) -> None:
        """Releases free buffers that were too small."""
        free = [at for at in range(len(self._pieces)) if self._is_free(at)]
        for at in reversed(free[MOST_FREE:]):
            del self._pieces[at]

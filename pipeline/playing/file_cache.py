"""A folder of files of bounded size: whole videos of a bucket, and previews. The files used longest ago go first."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path


class FileCache:
    """Files by key, in a folder that goes with this object. Two threads never make the same file."""

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        self._folder = Path(tempfile.mkdtemp(prefix="reelbeam-explore-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._sizes: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[tuple[str, ...], threading.Lock] = {}
        self._wanted: Callable[[tuple[str, ...]], bool] = lambda key: True

    def _file(self, key: tuple[str, ...]) -> Path:
        return Path(self._folder, hashlib.sha256("\0".join(key).encode()).hexdigest())

    def get(self, key: tuple[str, ...], make: Callable[[Path], None]) -> Path:
        """The file of a key, made when it is not there. Passes on what `make` raises, and then keeps nothing.

        Whoever has opened the file can read on when it is dropped.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            file = self._file(key)
            with self._lock:
                if key in self._sizes:
                    self._sizes.move_to_end(key)
                    return file
            try:
                make(file)
            except BaseException:
                file.unlink(missing_ok=True)
                raise
            with self._lock:
                if not self._wanted(key):  # it was dropped meanwhile
                    file.unlink()
                    raise FileNotFoundError(f"{key[0]} is gone")
                self._sizes[key] = file.stat().st_size
                while sum(self._sizes.values()) > self.most_bytes and len(self._sizes) > 1:
                    self._drop(next(iter(self._sizes)))
            return file

    @property
    def held_bytes(self) -> int:
        """Of the files that lie there."""
        with self._lock:
            return sum(self._sizes.values())

    def keep(self, wanted: Callable[[tuple[str, ...]], bool]) -> None:
        """Drops the files of all other keys, and keeps none of them from now on."""
        with self._lock:
            self._wanted = wanted
            for key in [key for key in self._sizes if not wanted(key)]:
                self._drop(key)

    def _drop(self, key: tuple[str, ...]) -> None:
        del self._sizes[key]
        self._making.pop(key, None)
        self._file(key).unlink(missing_ok=True)

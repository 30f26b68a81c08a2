"""Caches a bucket's immutable files on local disk, named by their hash, so that each machine downloads a file once.

Index files and training shards share the folder: `REELBEAM_CACHE`, or `reelbeam` in the user's cache folder. Its size is
bounded by `REELBEAM_CACHE_GB`; least recently used files are deleted first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CorruptOutput

if TYPE_CHECKING:
    from .storage import Storage

FOLDER_VARIABLE, SIZE_VARIABLE = "REELBEAM_CACHE", "REELBEAM_CACHE_GB"
MOST_GB = 100.0
"""Default size limit."""


@dataclass(frozen=True)
class LocalCache:
    """A folder of cached files. Processes wait for each other instead of downloading a file twice."""

    folder: Path
    most_bytes: int | None
    """Size limit of all copies together; None means no limit."""

    @classmethod
    def at(cls, folder: str = "", bounded: bool = True) -> LocalCache:
        """The cache in `folder`, or if it is empty in the folder that the environment names."""
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        place = Path(folder or os.environ.get(FOLDER_VARIABLE) or Path(home, "reelbeam")).expanduser()
        return cls(place, int(float(os.environ.get(SIZE_VARIABLE, MOST_GB)) * 1e9) if bounded else None)

    def file(self, storage: Storage, path: str, sha256: str) -> Path:
        """The local path of a stored file: the file itself if it is local, else its copy, downloaded if necessary.

        Raises FileNotFoundError, and CorruptOutput when the downloaded bytes do not have the hash `sha256`.
        """
        local = storage.local_path(path)
        if local is not None:
            return local
        copy = self.folder / f"{sha256}{Path(path).suffix}"
        if not copy.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / f"{sha256}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not copy.exists():
                    _fetch(storage, path, sha256, copy)
                    self._make_room(copy)
        os.utime(copy)
        return copy

    def adopt(self, storage: Storage, file: Path, sha256: str) -> None:
        """Moves a file that was just stored in a bucket into the cache, so that this machine need not download it again."""
        if storage.is_local:
            file.unlink()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        copy = self.folder / f"{sha256}{file.suffix}"
        shutil.move(
            file, copy.with_suffix(".new")
        )  # the source may be on another disk; the final name must never show a partial file
        copy.with_suffix(".new").replace(copy)
        self._make_room(copy)

    def forget(self, path: str, sha256: str) -> None:
        """Removes the copy of a stored file, if there is one."""
        (self.folder / f"{sha256}{Path(path).suffix}").unlink(missing_ok=True)

    def _make_room(self, newest: Path) -> None:
        """Deletes the least recently used copies until the rest fits. Open files stay readable."""
        if self.most_bytes is None:
            return
        copies = [(file.stat(), file) for file in self.folder.iterdir() if file.suffix not in {".lock", ".new"}]
        held = sum(facts.st_size for facts, _ in copies)
        for facts, file in sorted(copies, key=lambda one: one[0].st_mtime_ns):
            if held <= self.most_bytes:
                return
            if file != newest:
                file.unlink(missing_ok=True)
                held -= facts.st_size


def _fetch(storage: Storage, path: str, sha256: str, copy: Path) -> None:
    from .storage import (
        file_sha256,
    )  # here, so that the command line names the variables without loading a store's client

    unchecked = copy.with_suffix(".new")
    storage.fetch(path, unchecked)
    found = file_sha256(unchecked)
    if found != sha256:
        unchecked.unlink()
        raise CorruptOutput(
            f"{storage.uri(path)} has the hash {found}, the snapshot says {sha256}; cure: reelbeam verify {storage.root}"
        )
    unchecked.replace(copy)

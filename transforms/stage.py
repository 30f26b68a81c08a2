"""Brings a video to local disk, once. Local files are used in place; remote ones are downloaded whole.

A downloaded file gets its final name only when it is complete and has the listed size, so a partial file is never decoded.
Disk use is bounded: unused copies are deleted, oldest first.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..schemas.addresses import is_remote
from ..schemas.elements import Video
from ..schemas.errors import InputError, ObjectRefused
from ..schemas.storage import Storage

CACHE_BYTES = 20 << 30


class Stage:
    """Local copies of remote videos for one process. Thread-safe; `close` removes them all."""

    def __init__(self, limit_bytes: int = CACHE_BYTES):
        self.limit_bytes = limit_bytes
        self._folder: Path | None = None
        self._held: OrderedDict[str, _Copy] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def local(self, video: Video) -> Iterator[Path]:
        """A path to the whole video, valid while the context is open.

        Raises InputError("vanished" | "changed") when the object differs from the listing.
        """
        if not is_remote(video.uri):
            yield _checked(video)
            return
        copy = self._take(video)
        try:
            with copy.lock:
                if not copy.path.exists():
                    _fetch(video, copy.path)
            yield copy.path
        finally:
            self._release(copy)

    def _take(self, video: Video) -> _Copy:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="reelbeam-stage-"))
            key = f"{video.video_id}-{video.etag}"
            if key not in self._held:
                self._held[key] = _Copy(self._folder / video.video_id, video.size_bytes)
            copy = self._held[key]
            self._held.move_to_end(key)
            copy.users += 1
            return copy

    def _release(self, copy: _Copy) -> None:
        with self._lock:
            copy.users -= 1
            total = sum(held.size_bytes for held in self._held.values())
            for key, held in list(self._held.items()):
                if total > self.limit_bytes and not held.users:
                    held.path.unlink(missing_ok=True)
                    total -= held.size_bytes
                    del self._held[key]

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._held.clear()


@functools.cache
def shared_stage() -> Stage:
    """The stage shared by this process, so that a video is downloaded once for probing and decoding."""
    stage = Stage(min(CACHE_BYTES, shutil.disk_usage(tempfile.gettempdir()).free // 2))
    atexit.register(stage.close)
    return stage


class _Copy:
    """The local copy of one remote video."""

    def __init__(self, path: Path, size_bytes: int):
        self.path, self.size_bytes = path, size_bytes
        self.users = 0
        self.lock = threading.Lock()


def _checked(video: Video) -> Path:
    """The path of a local file. Raises InputError when it differs from the listing."""
    path = Path(video.uri)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError("vanished", f"{video.uri} was listed but is gone", retryable=True) from None
    except OSError as error:
        raise InputError("unreadable", f"{video.uri}: {error.strerror}", retryable=True) from error
    if f"{found.st_mtime_ns}-{found.st_size}" != video.etag:
        raise InputError("changed", f"{video.uri} changed after it was listed; run again", retryable=True)
    return path


def _fetch(video: Video, to: Path) -> None:
    storage, name = Storage.of_object(video.uri)
    try:
        storage.fetch(name, to)
    except FileNotFoundError:
        raise InputError("vanished", f"{video.uri} was listed but is gone", retryable=True) from None
    except ObjectRefused as error:
        raise InputError("unreadable", str(error), retryable=True) from error
    if to.stat().st_size != video.size_bytes:
        seen = to.stat().st_size
        to.unlink()
        raise InputError("changed", f"{video.uri}: listed with {video.size_bytes} bytes, {seen} came", retryable=True)

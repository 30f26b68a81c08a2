"""Small pictures of frames, made from the videos when they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...schemas.addresses import is_remote
from ...schemas.errors import ReelbeamError
from ...schemas.storage import Storage
from ..views import frame_at
from .file_cache import FileCache

HEIGHT_PX = 180
MEMORY_BYTES = 64 << 20
"""Of pictures kept."""
FFMPEG_AT_ONCE = 2
WHOLE_BYTES = 4 << 30
"""Limit of the folder of videos fetched from a bucket, and of one video of it."""

Key = tuple[str, str, int]
"""(video_id, hash of its bytes, presentation time in ms)."""


class Thumbnails:
    """JPEGs of frames, by video and presentation time."""

    def __init__(self, stream: str = ""):
        """`stream` is the `--video-stream` of the dataset; empty for ffmpeg's own choice."""
        self.stream = stream
        self.videos = FileCache(WHOLE_BYTES)
        self.made = 0
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._lock, self._running = threading.Lock(), threading.BoundedSemaphore(FFMPEG_AT_ONCE)

    def jpeg(self, video: dict[str, Any], pts_ms: int) -> bytes | None:
        """The picture of a frame of a row of the videos table; None where the video cannot be read."""
        key = (video["video_id"], video["content_sha256"], pts_ms)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        file = self.local_file(video)
        if file is None:
            return None
        with self._running:
            # a millisecond earlier: the stored time is rounded, and ffmpeg shows the first frame from there on
            made = frame_at(file, max(0, pts_ms - 1), HEIGHT_PX, self.stream)
        if made is None:
            return None
        with self._lock:
            self.made += 1
            self._kept[key] = made
            while sum(map(len, self._kept.values())) > MEMORY_BYTES:
                self._kept.popitem(last=False)
        return made

    @property
    def held_bytes(self) -> int:
        """Of pictures in memory."""
        with self._lock:
            return sum(map(len, self._kept.values()))

    def local_file(self, video: dict[str, Any]) -> Path | None:
        """A video on local disk: where it lies, or fetched once; None when it is gone, too large or cannot be reached."""
        uri: str = video["uri"]
        if not is_remote(uri):
            return Path(uri) if Path(uri).is_file() else None
        if video["size_bytes"] > WHOLE_BYTES:
            return None
        storage, path = Storage.of_object(uri)
        try:
            return self.videos.get((video["video_id"], video["content_sha256"]), lambda file: storage.fetch(path, file))
        except (FileNotFoundError, ReelbeamError):
            return None

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops everything of videos that are not wanted any more, by id."""
        with self._lock:
            for key in [key for key in self._kept if not wanted(key[0])]:
                del self._kept[key]
        self.videos.keep(lambda key: wanted(key[0]))

"""What ffmpeg reads a video from: the file where it lies, an object by range, or a copy of what a web server has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...schemas.addresses import is_remote, is_web
from ...schemas.errors import ReelbeamError
from .file_cache import FileCache
from .open_buckets import OpenBuckets
from .served_object import Blocks, Served, served_object

WHOLE_BYTES = 4 << 30
"""Limit of the folder of videos fetched from web servers, and of one video of it: such servers need not know ranges."""


class VideoSources:
    """Opens videos for ffmpeg, and keeps what was fetched of them, within limits."""

    def __init__(self) -> None:
        self.copies, self.blocks, self.buckets = FileCache(WHOLE_BYTES), Blocks(), OpenBuckets()

    @property
    def held_bytes(self) -> int:
        """Of copies and blocks."""
        return self.copies.held_bytes + self.blocks.held_bytes

    @contextmanager
    def open(self, video: dict[str, Any]) -> Iterator[Path | str | None]:
        """The file or the address on loopback of a row of the videos table; None when it is gone, too large or cannot be reached."""
        uri: str = video["uri"]
        if not is_remote(uri):
            yield Path(uri) if Path(uri).is_file() else None
        elif is_web(uri):
            yield self._copy(video)
        elif not video["size_bytes"]:
            yield None
        else:
            served = Served(
                *self.buckets.of(uri), video["video_id"], video["content_sha256"] or "", video["size_bytes"]
            )
            with served_object(self.blocks, served) as address:
                yield address

    def _copy(self, video: dict[str, Any]) -> Path | None:
        if video["size_bytes"] > WHOLE_BYTES:
            return None
        storage, path = self.buckets.of(video["uri"])
        try:
            return self.copies.get((video["video_id"], video["content_sha256"]), lambda file: storage.fetch(path, file))
        except (FileNotFoundError, ReelbeamError):
            return None

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops everything of videos that are not wanted any more, by id."""
        self.blocks.keep(wanted)
        self.copies.keep(lambda key: wanted(key[0]))

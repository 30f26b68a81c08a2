"""What ffmpeg reads a video from: the file where it lies, an object by range, or a copy of what a web server has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...schemas.addresses import is_remote, is_web
from ...schemas.errors import ReelbeamError
from ...transforms.range_server import range_server
from ...transforms.remote_blocks import Blocks, RemoteObject
from .file_cache import FileCache
from .open_buckets import OpenBuckets

log = logging.getLogger("reelbeam")

BLOCK_BYTES = 128 << 10
"""What is asked of a store at once: about a second of video. A picture reads the header and the frames around it."""

KEPT_BLOCKS = 512
"""In memory: 64 MiB."""

WHOLE_BYTES = 4 << 30
"""Limit of the folder of videos fetched from web servers, and of one video of it: such servers need not know ranges."""


def version_of(video: dict[str, Any]) -> str:
    """What tells the bytes of a row of the videos table from those of other nights. A long video read by range has no hash."""
    return video["content_sha256"] or video["etag"] or ""


class VideoSources:
    """Opens videos for ffmpeg, and keeps what was fetched of them, within limits."""

    def __init__(self) -> None:
        self.copies, self.buckets = FileCache(WHOLE_BYTES), OpenBuckets()
        self.blocks = Blocks(BLOCK_BYTES, KEPT_BLOCKS)

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
            storage, path = self.buckets.of(uri)
            opened = RemoteObject(storage, path, video["size_bytes"], video["video_id"], version_of(video), self.blocks)
            try:
                with range_server().serving(opened) as address:
                    yield address
            except (FileNotFoundError, ReelbeamError) as error:
                if error is not opened.error:
                    raise
                log.warning("%s: %s", uri, error)  # ffmpeg has ended with what it had

    def _copy(self, video: dict[str, Any]) -> Path | None:
        if video["size_bytes"] > WHOLE_BYTES:
            return None
        storage, path = self.buckets.of(video["uri"])
        try:
            return self.copies.get((video["video_id"], version_of(video)), lambda file: storage.fetch(path, file))
        except (FileNotFoundError, ReelbeamError):
            return None

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops everything of videos that are not wanted any more, by id."""
        self.blocks.keep(wanted)
        self.copies.keep(lambda key: wanted(key[0]))

"""Small pictures of frames, made from the videos when they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...schemas.errors import InputError
from ...transforms.ffmpeg import Limits, input_flags, run
from .video_sources import VideoSources, version_of

HEIGHT_PX = 180
MEMORY_BYTES = 64 << 20
"""Of pictures kept."""
FFMPEG_AT_ONCE = 2

Key = tuple[str, str, int]
"""(video_id, version of its bytes, presentation time in ms)."""


def frame_at(source: Path | str, at_ms: int, height: int = HEIGHT_PX, stream: str = "") -> bytes | None:
    """A JPEG of a video's frame at an instant, of the `--video-stream` that was extracted; None when ffmpeg finds none there.

    `source` is a file, or an address on loopback.
    """
    limits = Limits(wall_s=60, stall_s=60, output_bytes=16 << 20)
    command = ["ffmpeg", "-nostdin", "-v", "error", *input_flags(source, at_ms / 1000)]
    chosen = ["-map", f"0:V:{stream}"] if stream else []
    shown = [*chosen, "-frames:v", "1", "-vf", f"scale=-2:{height}", "-f", "mjpeg", "pipe:{pipe0}"]
    try:
        return bytes(run([*command, *shown], 1, limits).outputs[0]) or None
    except InputError:
        return None


class Thumbnails:
    """JPEGs of frames, by video and presentation time."""

    def __init__(self, sources: VideoSources, stream: str = ""):
        """`stream` is the `--video-stream` of the dataset; empty for ffmpeg's own choice."""
        self.sources, self.stream = sources, stream
        self.made = 0
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._wanted: Callable[[str], bool] = lambda video_id: True
        self._lock, self._running = threading.Lock(), threading.BoundedSemaphore(FFMPEG_AT_ONCE)

    def jpeg(self, video: dict[str, Any], pts_ms: int) -> bytes | None:
        """The picture of a frame of a row of the videos table; None where the video cannot be read."""
        key = (video["video_id"], version_of(video), pts_ms)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._running, self.sources.open(video) as source:
            # a millisecond earlier: the stored time is rounded, and ffmpeg shows the first frame from there on
            made = frame_at(source, max(0, pts_ms - 1), HEIGHT_PX, self.stream) if source else None
        if made is None:
            return None
        with self._lock:
            if not self._wanted(key[0]):
                return None
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

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops those of videos that are not wanted any more, by id, and keeps none of them from now on."""
        with self._lock:
            self._wanted = wanted
            for key in [key for key in self._kept if not wanted(key[0])]:
                del self._kept[key]

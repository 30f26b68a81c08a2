"""Small copies of what browsers cannot play, made a piece at a time when they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...schemas.errors import InputError
from ...transforms.ffmpeg import Limits, file_url, input_flags, run
from .file_cache import FileCache
from .video_sources import VideoSources, version_of

PIECE_S = 60
"""Length of a piece."""

HEIGHT_PX = 360
WALL_S = 120.0
PIECE_BYTES = 48 << 20
KEPT_BYTES = 1 << 30
NICE = 10


class Previews:
    """MP4 files of H.264 and AAC, by video and piece. One is made at a time."""

    def __init__(self, sources: VideoSources, stream: str = ""):
        """`stream` is the `--video-stream` of the dataset; empty for ffmpeg's own choice."""
        self.sources, self.stream = sources, stream
        self.files = FileCache(KEPT_BYTES)
        self._running = threading.Lock()

    def piece(self, video: dict[str, Any], number: int) -> Path | None:
        """The file of seconds [number, number + 1) * PIECE_S of a row of the videos table; None where there is nothing to show."""

        def make(to: Path) -> None:
            with self._running, self.sources.open(video) as source:
                if source is None:
                    raise InputError("missing", "the video is not where it was extracted from")
                transcode(source, number * PIECE_S, to, self.stream)

        try:
            return self.files.get((video["video_id"], version_of(video), str(number)), make)
        except (InputError, FileNotFoundError):
            return None

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops those of videos that are not wanted any more, by id."""
        self.files.keep(lambda key: wanted(key[0]))


def transcode(source: Path | str, start_s: int, to: Path, stream: str = "") -> None:
    """Writes PIECE_S seconds as a small MP4. Raises InputError when ffmpeg makes none within its limits."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *input_flags(source, start_s)]
    chosen = ["-map", f"0:V:{stream or 0}?", "-map", "0:a:0?", "-t", str(PIECE_S), "-sn", "-dn"]
    picture = [
        *("-vf", f"scale=-2:{HEIGHT_PX},format=yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28"),
    ]
    sound = [*("-c:a", "aac", "-b:a", "96k", "-ac", "2")]
    written = [
        *("-movflags", "+faststart"),
        *("-map_metadata", "-1"),
        *("-fs", str(PIECE_BYTES)),
        *("-f", "mp4", file_url(to)),
    ]
    done = run([*command, *chosen, *picture, *sound, *written], 0, Limits(WALL_S, WALL_S, 0), nice=NICE)
    if done.exit_code or not to.exists() or not to.stat().st_size:
        raise InputError("undecodable", f"no preview: {done.errors[:200] or 'nothing to show there'}")

"""Chooses which frames of a video are decoded: all, reference frames, or key frames. Pure.

Non-reference frames are the cheap way to save work: no other frame needs them, so a decoder that skips them gives the
others bit for bit as before. Key frames alone cost least, but there may be only one in ten seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..schemas.elements import Probe

EXACT, REFERENCE, KEY = "exact", "reference", "key"
FRAMES = (EXACT, REFERENCE, KEY)
"""Values of `--frames`; the first is the default of a new dataset."""

TIMED = ("mov", "matroska", "flv", "mpegts")
"""Containers that store a presentation time with each picture. In others (AVI, MPEG program streams) ffmpeg derives times from
the order of the pictures, so skipping some moves the others: there all frames are decoded."""

SKIPPED = {REFERENCE: "noref", KEY: "nokey"}
"""Values of ffmpeg's `-skip_frame`. A decoder that cannot skip (VP9, AV1) decodes all frames."""


def is_timed(container: str) -> bool:
    """Whether each picture has its own time in a container.

    >>> is_timed("mov,mp4,m4a,3gp,3g2,mj2"), is_timed("avi")
    (True, False)
    """
    return not set(TIMED).isdisjoint(container.split(","))


def decoder_options(frames: str, probe: Probe) -> dict[str, object]:
    """ffmpeg's input options that make the decoder skip frames."""
    return {"skip_frame:v": SKIPPED[frames]} if frames in SKIPPED and is_timed(probe.container) else {}


def frame_coverage(rows: Iterable[Mapping[str, Any]], tick_hz: Fraction) -> tuple[int, int]:
    """Of rows of the videos table: the number of ticks with a frame, and of ticks in videos that have pictures.

    >>> row = {"video_codec": "h264", "duration_ms": 9_500, "frames": 2}
    >>> frame_coverage([row, row, {**row, "video_codec": ""}], Fraction(1))
    (4, 20)
    """
    shown = [(row["frames"], math.ceil(row["duration_ms"] * tick_hz / 1000)) for row in rows if row["video_codec"]]
    return sum(min(pair) for pair in shown), sum(ticks for _, ticks in shown)

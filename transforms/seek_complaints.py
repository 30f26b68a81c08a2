"""Tells ffmpeg's complaints after a seek into the middle of a group of pictures from real damage. Pure."""

from __future__ import annotations

from ..schemas.elements import Decoded, Grid, Unit

UNINDEXED = ("mpegts", "mpeg")
"""Containers in which a seek lands in the middle of a group of pictures."""

FROM_THE_MIDDLE = (
    "Missing reference picture",
    "Could not find ref with POC",
    "decode_slice_header error",
    "non-existing PPS",
    "no frame!",
    "Header missing",
    "Error while decoding stream",
    "Invalid data found when processing input",
    "ac-tex damaged",
    "slice mismatch",
    "mmco: unref short failure",
    "co located POCs unavailable",
)
"""Messages about frames before the first keyframe after a seek. Safe to ignore: the previous unit decodes those frames."""


def is_whole(decoded: Decoded, unit: Unit, grid: Grid) -> bool:
    """Whether every tick of a unit (of a last unit: up to its last frame) has its frame. True for a video without pictures."""
    first, last = (window * grid.window_ticks for window in (unit.first_window, unit.last_window))
    reached = int(decoded.ticks[-1]) + 1 if len(decoded.ticks) and unit.is_last else last
    return unit.probe.video_stream is None or len(decoded.ticks) == reached - first


def without_seek_complaints(errors: str) -> str:
    """
    >>> without_seek_complaints("[h264] Missing reference picture, default is 0; [h264] mb_skip_run 9 is invalid")
    '[h264] mb_skip_run 9 is invalid'
    """
    return "; ".join(line for line in errors.split("; ") if not any(words in line for words in FROM_THE_MIDDLE))

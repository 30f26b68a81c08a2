"""measured_gaps: how far apart the key frames of videos are, so that `--tick-hz auto` gives nearly every tick one.

In:  a location of videos. A few of them are read, the beginning of each; nothing is decoded.
Out: `KeyFrames`: the gaps, and the rate of ticks that follows from them.
Bad: a video that cannot be read is passed over; UsageError where that leaves none.
"""

from __future__ import annotations

import contextlib
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..schemas.elements import Probe, Video
from ..schemas.errors import InputError, UsageError
from .discover import probe_video
from .listing import list_videos
from .probe import ffprobe_report
from .range_server import readable
from .stage import Stage
from .streams import StreamChoice

READ_AT_MOST, TRIED_AT_MOST = 20, 200
"""Videos that are measured, and those that are opened for it where some cannot be read. The choice is seeded."""

READ_S = 120
"""Seconds that are read of each."""

SLOWEST_S = 3600
"""Longest tick that a grid may have."""


@dataclass(frozen=True)
class KeyFrames:
    """What was found in some videos."""

    gaps_s: tuple[float, ...]
    """The mean time from a key frame to the next one, of each video."""

    @property
    def typical_gap_s(self) -> float:
        """The gap of the middle video."""
        return statistics.median(self.gaps_s)

    @property
    def tick_hz(self) -> Fraction:
        """A tick as many whole seconds long as the typical gap, rounded up; one a second where key frames are closer.

        >>> KeyFrames((4.8, 5.0, 10.0)).tick_hz, KeyFrames((0.04,)).tick_hz, KeyFrames((2.1, 8.3)).tick_hz
        (Fraction(1, 5), Fraction(1, 1), Fraction(1, 6))
        """
        return Fraction(1, max(1, min(SLOWEST_S, math.ceil(round(self.typical_gap_s, 2)))))


def measured_gaps(location: str, choice: StreamChoice) -> KeyFrames:
    """The gaps between key frames in READ_AT_MOST videos of a location. Raises UsageError."""
    listed = list_videos(location)
    order = random.Random(0).sample(range(len(listed)), min(len(listed), TRIED_AT_MOST))
    gaps: list[float] = []
    stage = Stage()
    try:
        for at in order:
            if (gap := gap_of(listed[at], stage, choice)) is not None:
                gaps.append(gap)
            if len(gaps) == READ_AT_MOST:
                break
    finally:
        stage.close()
    if not gaps:
        raise UsageError(
            f"--tick-hz auto: {location} has no video of which key frames can be read; cure: give frames a second, such as 1/5"
        )
    return KeyFrames(tuple(gaps))


def gap_of(video: Video, stage: Stage, choice: StreamChoice) -> float | None:
    """The mean gap between the key frames of one video; None where it cannot be read or has no pictures."""
    probe = probe_video(video, stage, choice, ranges=True)
    if not isinstance(probe, Probe) or probe.video_stream is None:
        return None
    shown = ("-select_streams", str(probe.video_stream), "-read_intervals", f"%+{READ_S}")
    with contextlib.suppress(InputError), readable(video, probe.by_range, stage) as source:
        report = ffprobe_report(source, video.uri, *shown, "-show_entries", "packet=pts_time,flags")
        return mean_gap_s(report["packets"], probe.duration_ms / 1000)
    return None


def mean_gap_s(packets: Sequence[Mapping[str, Any]], duration_s: float) -> float | None:
    """The mean gap between key frames, from the beginning of a video. With a single one it is what was read; None without any.

    >>> mean_gap_s([{"pts_time": "0.0", "flags": "K__"}, {"pts_time": "1.0", "flags": "___"}, {"pts_time": "4.0", "flags": "K__"}], 9)
    4.0
    >>> mean_gap_s([{"pts_time": "0.0", "flags": "K__"}], 300), mean_gap_s([], 9)
    (120, None)
    """
    times = sorted(
        float(packet["pts_time"])
        for packet in packets
        if "K" in packet["flags"] and packet.get("pts_time", "N/A") != "N/A"
    )
    if len(times) < 2:
        return min(duration_s, READ_S) if times else None
    return (times[-1] - times[0]) / (len(times) - 1)

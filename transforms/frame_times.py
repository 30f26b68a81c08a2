"""Times of decoded frames: from ffmpeg's report, and on the presentation clock."""

from __future__ import annotations

import math

from ..schemas.elements import Probe


def printed_pts(report: bytes) -> list[int]:
    """The pts of each frame that ffmpeg's metadata filter printed, in the stream's time base.

    >>> printed_pts(b"frame:0    pts:512     pts_time:0.0333333\\ntick=1\\n")
    [512]
    """
    return [int(line.split(b"pts:")[1].split()[0]) for line in report.splitlines() if line.startswith(b"frame:")]


def presentation_ms(pts: int, probe: Probe) -> int:
    """A pts on the presentation clock, rounded down to whole milliseconds."""
    return math.floor((pts * probe.time_base - probe.zero_s) * 1000)

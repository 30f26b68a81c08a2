"""Frames for senses, from the same decode pass that gives CLIP's: further outputs of the decoder, and their parsing.

Each need has two pipes after the decoder's own: its frames, and the pts of each. Small frames travel as raw rgb24, large ones
as JPEG, because a unit of two minutes at 1280 pixels is 330 MB raw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ffmpeg
import numpy as np

from ..schemas.elements import Probe
from ..schemas.senses import FrameNeed, SenseFrames
from .frame_times import presentation_ms, printed_pts

RAW_SIDE = 512
"""Longest side in pixels up to which frames travel raw."""

JPEG_QUALITY = 2
"""On ffmpeg's scale, where 2 is the best."""

CHANGED = {"hi": 64 * 12, "lo": 64 * 5, "frac": 0.33}
"""Settings of ffmpeg's mpdecimate, its own defaults. It compares blocks of 8 x 8 bytes with the last frame that passed. A frame
passes when one block differs by more than 12 per byte on average, or a third of the blocks by more than 5."""

JPEG_START = b"\xff\xd8\xff"

OWN_PIPES = 5
"""Pipes of the decoder itself: frames, their pts, pts of cuts, samples, small pictures."""


def sense_output(frames: ffmpeg.nodes.FilterableStream, need: FrameNeed, number: int) -> ffmpeg.nodes.OutputStream:
    """The decoder's output of need number `number`, from frames in its size (rgb24)."""
    if need.only_changed:
        frames = frames.filter("format", "yuv420p").filter("mpdecimate", **CHANGED)
    pixels, pts = (f"{{pipe{OWN_PIPES + 2 * number + at}}}" for at in (0, 1))
    frames = (
        frames.filter("format", "rgb24" if need.longest_side <= RAW_SIDE else "yuvj420p")
        .filter("metadata", mode="add", key="sense", value="1")
        .filter("metadata", mode="print", key="sense", file=f"pipe:{pts}", direct=1)
    )
    if need.longest_side <= RAW_SIDE:
        return ffmpeg.output(frames, f"pipe:{pixels}", format="rawvideo", fps_mode="passthrough")
    coded = {"format": "image2pipe", "c:v": "mjpeg", "q:v": JPEG_QUALITY, "fps_mode": "passthrough"}
    return ffmpeg.output(frames, f"pipe:{pixels}", **coded)


def frame_bytes(need: FrameNeed, probe: Probe) -> int:
    """Most bytes of one frame in its pipe."""
    height, width = need.size(probe.width, probe.height)
    return height * width * 3 + 1024


def parse_frames(
    content: bytes, report: bytes, need: FrameNeed, probe: Probe, tick_at: Callable[[int], int]
) -> SenseFrames:
    """The frames of a need from its two pipes; `tick_at` gives the tick of a pts. An incomplete last frame is dropped."""
    pts = printed_pts(report)
    size = need.size(probe.width, probe.height)
    pictures: Sequence[bytes]
    if need.longest_side <= RAW_SIDE:
        length = size[0] * size[1] * 3
        pictures = [content[at : at + length] for at in range(0, len(content) - length + 1, length)]
    else:
        pictures = split_jpegs(content)
    count = min(len(pts), len(pictures))
    ticks = np.array([tick_at(at) for at in pts[:count]], np.int32)
    at_ms = np.array([presentation_ms(at, probe) for at in pts[:count]], np.int32)
    # when the frame size changes, ffmpeg restarts its filters, and a tick may get a second frame
    first = np.flatnonzero(np.diff(ticks, prepend=np.iinfo(np.int32).min) > 0)
    kept = tuple(pictures[at] for at in first)
    return SenseFrames(ticks[first], at_ms[first], kept, size)


def parse_needs(
    outputs: Sequence[bytearray], needs: Sequence[FrameNeed], probe: Probe, tick_at: Callable[[int], int]
) -> dict[FrameNeed, SenseFrames]:
    """The frames of each need, from its two pipes each."""
    pairs = zip(needs, outputs[::2], outputs[1::2], strict=True)
    return {need: parse_frames(bytes(frames), bytes(pts), need, probe, tick_at) for need, frames, pts in pairs}


def split_jpegs(content: bytes) -> list[bytes]:
    """The JPEG files that lie one after the other in a stream. In coded data, 0xff is never followed by 0xd8.

    >>> split_jpegs(b"\\xff\\xd8\\xffabc\\xff\\xd8\\xffde\\xff\\xd9")
    [b'\\xff\\xd8\\xffabc', b'\\xff\\xd8\\xffde\\xff\\xd9']
    """
    starts = []
    at = content.find(JPEG_START)
    while at >= 0:
        starts.append(at)
        at = content.find(JPEG_START, at + len(JPEG_START))
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]

"""The sense `thumbnails`: small WebP pictures of the frames, so that pages show them where the videos cannot be read.

A window's pictures lie one after the other in one column. Another says where each ends, so that a reader fetches the bytes of one
window and no others.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..schemas.senses import Column, FrameNeed, Reader, Record, Sense, SenseInput

THUMBNAILS = "thumbnails"
PICTURES, ENDS = "thumbnail", "thumbnail_end"
"""Its columns."""

SIDE_PX = 256
"""Longest side. Pages show frames 240 pixels wide, and 96 in timelines."""

METHOD = 2
"""Of WebP's encoder, 0 (fast) to 6 (small)."""

TYPICAL_BYTES = 3_000
"""Of one picture, for estimates."""


@dataclass(frozen=True)
class Thumbnails(Sense):
    """Small WebP pictures of the frames, for pages that cannot read the videos."""

    name = THUMBNAILS
    version = 1
    frames = FrameNeed(longest_side=SIDE_PX)
    quality: int = 60
    """On WebP's scale, 0 to 100."""

    def columns(self) -> tuple[Column, ...]:
        return (
            Column(
                PICTURES,
                f"WebP pictures of the window's frames, one after the other, of at most {SIDE_PX} pixels on the longer side",
                "binary",
            ),
            Column(
                ENDS,
                f"where each tick's picture ends in {PICTURES}; it begins where the one before it ends; equal where there is none",
                "tensor",
                "bytes",
                dtype="int32",
                shape=("T",),
            ),
        )

    def load(self, device: str) -> Reader:
        quality = self.quality

        def read(seen: SenseInput, /) -> Sequence[Record | None]:
            ticks = seen.grid.window_ticks
            records: list[Record | None] = []
            for window, here in zip(seen.windows, seen.frames_of_windows(), strict=True):
                pictures = {
                    int(seen.frames.ticks[at]) - window * ticks: webp(seen.frames.pixels(at), quality) for at in here
                }
                records.append(record_of(pictures, ticks) if pictures else None)
            return records

        return read


def webp(pixels: np.ndarray, quality: int) -> bytes:
    """A picture uint8 [h, w, 3] as a WebP file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=METHOD)
    return file.getvalue()


def record_of(pictures: dict[int, bytes], ticks: int) -> dict[str, Any]:
    """The columns of a window with a picture at some of its ticks.

    >>> found = record_of({0: b"ab", 2: b"c"}, 4)
    >>> found["thumbnail"], found["thumbnail_end"].tolist()
    (b'abc', [2, 2, 3, 3])
    """
    lengths = [len(pictures.get(tick, b"")) for tick in range(ticks)]
    joined = b"".join(pictures[tick] for tick in sorted(pictures))
    return {PICTURES: joined, ENDS: np.cumsum(lengths).astype(np.int32)}


def picture_at(pictures: bytes, ends: np.ndarray, tick: int) -> bytes | None:
    """The picture of a tick out of a window's columns; None where there is none.

    >>> picture_at(b"abc", np.array([2, 2, 3, 3]), 2), picture_at(b"abc", np.array([2, 2, 3, 3]), 1)
    (b'c', None)
    """
    start = int(ends[tick - 1]) if tick else 0
    return pictures[start : int(ends[tick])] or None

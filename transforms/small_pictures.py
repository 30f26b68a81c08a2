"""Small pictures, the input of shot detection: their layout, and the distance between two of them.

A small picture is one row of uint8 [PICTURE_BYTES], yuv420p: luma [36, 64], then the two chroma planes [18, 32] each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WIDTH, HEIGHT = 64, 36
LUMA_BYTES = WIDTH * HEIGHT
PICTURE_BYTES = LUMA_BYTES * 3 // 2

CHUNK = 512
"""Pictures compared at a time, to bound memory."""

COARSE_X, COARSE_Y = 3, 2
"""Largest shift at half size: 6 and 4 pixels at full size, a tenth of the picture."""


@dataclass(frozen=True)
class Picture:
    """One small picture as planes: `luma` int16 [36, 64], `half` int16 [3, 18, 32] (halved luma and both chromas)."""

    luma: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, row: np.ndarray) -> Picture:
        """Makes a picture from uint8 or float [PICTURE_BYTES]."""
        luma = row[:LUMA_BYTES].reshape(HEIGHT, WIDTH).astype(np.int16)
        halved = luma.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).sum((1, 3)) // 4
        chroma = row[LUMA_BYTES:].reshape(2, HEIGHT // 2, WIDTH // 2).astype(np.int16)
        return cls(luma, np.concatenate([halved[None].astype(np.int16), chroma]))


def changes(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Mean absolute difference of pictures uint8 [n, PICTURE_BYTES], pair by pair: float32 [n] in 0..255."""
    found = np.zeros(len(one), np.float32)
    for at in range(0, len(one), CHUNK):
        here = slice(at, at + CHUNK)
        a, b = one[here], two[here]
        found[here] = (np.maximum(a, b) - np.minimum(a, b)).mean(1, dtype=np.float32)
    return found


def distance(one: Picture, two: Picture) -> float:
    """Mean absolute difference of two pictures after the best shift, 0..255.

    So a pan or camera shake of up to a tenth of the picture adds little. The shift is searched in luma, at half size and then
    to one pixel. Luma has weight 2/3, chroma 1/3.
    """
    h, w = HEIGHT // 2 - 2 * COARSE_Y, WIDTH // 2 - 2 * COARSE_X
    core = two.half[:, COARSE_Y : COARSE_Y + h, COARSE_X : COARSE_X + w]
    windows = sliding_window_view(one.half[0], (h, w))
    y, x = divmod(int(np.abs(windows - core[0]).sum((2, 3), dtype=np.int32).argmin()), 2 * COARSE_X + 1)
    chroma = np.abs(one.half[1:, y : y + h, x : x + w] - core[1:]).sum(dtype=np.int32) / (2 * h * w)
    top, left = 2 * y, 2 * x  # of the window in `one.luma` that lies on the core of `two.luma`
    first_y, last_y = max(0, top - 1), min(4 * COARSE_Y, top + 1)
    first_x, last_x = max(0, left - 1), min(4 * COARSE_X, left + 1)
    h, w = HEIGHT - 4 * COARSE_Y, WIDTH - 4 * COARSE_X
    around = sliding_window_view(one.luma[first_y : last_y + h, first_x : last_x + w], (h, w))
    core = two.luma[2 * COARSE_Y : 2 * COARSE_Y + h, 2 * COARSE_X : 2 * COARSE_X + w]
    luma = np.abs(around - core).sum((2, 3), dtype=np.int32).min() / (h * w)
    return float(2 * luma + chroma) / 3


def modal_share(luma: np.ndarray) -> float:
    """Share of a picture's pixels within 4 of its most frequent luma: near 1 for a page, near 0.1 for a photograph."""
    counts = np.bincount(luma.ravel().astype(np.int64), minlength=256)
    return float(np.convolve(counts, np.ones(9), "same").max() / luma.size)


def changed_share(one: np.ndarray, two: np.ndarray, least: float) -> float:
    """Share of blocks of 4 x 4 pixels of lumas [36, 64] whose mean absolute difference is at least `least`."""
    blocks = np.abs(one - two).reshape(HEIGHT // 4, 4, WIDTH // 4, 4).mean((1, 3))
    return float((blocks >= least).mean())

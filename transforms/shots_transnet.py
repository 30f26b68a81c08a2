"""Detects shots with TransNetV2, on the same small pictures as the other detectors.

Source: Soucek and Lokoc, "TransNet V2: An effective deep network architecture for fast shot transition detection",
https://arxiv.org/abs/2008.04838. It is slow on a CPU. It processes 100 frames at a time, so two units that share a boundary may
disagree about a change that it is unsure of.
"""

from __future__ import annotations

import numpy as np

from ..models.transnet import INPUT_HEIGHT, INPUT_WIDTH, shared_transnet
from .small_pictures import CHUNK, HEIGHT, LUMA_BYTES, WIDTH

THRESHOLD = 0.5
"""Probability above which a frame belongs to a transition, as in the paper."""


def transnet_cuts(pictures: np.ndarray, times_ms: np.ndarray, device: str) -> np.ndarray:
    """First frames of new shots, int64 [c]: the frame after the most probable one of each run above THRESHOLD."""
    if len(pictures) < 2:
        return np.zeros(0, np.int64)
    frames = [input_frames(pictures[at : at + CHUNK]) for at in range(0, len(pictures), CHUNK)]
    return new_shots(shared_transnet(device).probabilities(np.concatenate(frames)))


def new_shots(sure: np.ndarray) -> np.ndarray:
    """First frames of new shots, from probabilities float32 [n] that a shot ends with a frame. One per run above THRESHOLD.

    >>> new_shots(np.array([0, 0.9, 0, 0, 0.6, 0.8, 0.7, 0]))
    array([2, 6])
    """
    above = np.concatenate([[False], sure > THRESHOLD, [False]])
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    surest = [start + int(np.argmax(sure[start:end])) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    places = np.array(surest, np.int64) + 1
    return places[places < len(sure)]


def input_frames(pictures: np.ndarray) -> np.ndarray:
    """Small pictures uint8 [n, PICTURE_BYTES] -> RGB uint8 [n, 27, 48, 3], BT.601 in limited range, averaged over areas."""
    count = len(pictures)
    luma = pictures[:, :LUMA_BYTES].reshape(count, HEIGHT, WIDTH)
    chroma = pictures[:, LUMA_BYTES:].reshape(count, 2, HEIGHT // 2, WIDTH // 2)
    y = resized(luma.astype(np.float32)) - 16
    u, v = (resized(chroma[:, at].repeat(2, 1).repeat(2, 2).astype(np.float32)) - 128 for at in (0, 1))
    y *= 255 / 219
    red, green, blue = y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u
    return np.clip(np.stack([red, green, blue], -1) + 0.5, 0, 255).astype(np.uint8)


def resized(planes: np.ndarray) -> np.ndarray:
    """Planes float32 [n, 36, 64] -> [n, 27, 48]: each new pixel is the mean of the area that it covers."""
    return area_weights(HEIGHT, INPUT_HEIGHT) @ planes @ area_weights(WIDTH, INPUT_WIDTH).T


def area_weights(size: int, wanted: int) -> np.ndarray:
    """float32 [wanted, size]: weights that average `size` pixels into `wanted` larger ones.

    >>> area_weights(4, 2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    edges = np.arange(wanted + 1) * size / wanted
    starts, ends = edges[:-1, None], edges[1:, None]
    covered = np.clip(np.minimum(ends, np.arange(1, size + 1)) - np.maximum(starts, np.arange(size)), 0, 1)
    return (covered * wanted / size).astype(np.float32)

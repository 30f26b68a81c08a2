"""A sense: a perceptual hash and the dominant colours of each frame, to find copies and to sort by colour.

pip install ./examples/plugin_sense
reelbeam extract INPUT OUTPUT --senses +looks
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reelbeam.schemas.senses import Column, FrameNeed, Reader, Record, Sense, SenseInput

COLOURS = 3
SIDE = 32
"""Frames are compared as grey pictures of SIDE x SIDE, of whose frequencies the lowest HASH_SIDE x HASH_SIDE count."""
HASH_SIDE = 8


@dataclass(frozen=True)  # frozen: a sense can be a key, and is sent to workers
class Looks(Sense):
    """Perceptual hash and dominant colours."""

    name = "looks"  # what --senses calls it; its status column is looks_status
    version = 1  # raise it when the same frame gives other values: such values never mix in one dataset
    frames = FrameNeed(longest_side=64)  # decoded in the same pass as CLIP's frames, one for each tick

    def columns(self) -> tuple[Column, ...]:
        # T stands for the ticks per window. Ticks without a frame keep zeros: see tick_valid.
        return (
            Column("phash", "64-bit perceptual hash of each tick's frame", "tensor", dtype="uint64", shape=("T",)),
            Column(
                "colours",
                "dominant colours of each tick's frame, RGB, the most frequent first",
                "tensor",
                unit="0..255",
                dtype="uint8",
                shape=("T", COLOURS, 3),
            ),
        )

    def load(self, device: str) -> Reader:
        # Called once per process. A sense with a network would load it here, onto `device`.
        return read


def read(seen: SenseInput) -> Sequence[Record | None]:
    """One record for each window of a unit; None for a window without a frame."""
    ticks = seen.grid.window_ticks
    records: list[Record | None] = []
    for here in seen.frames_of_windows():
        if not len(here):
            records.append(None)
            continue
        hashes, colours = np.zeros(ticks, np.uint64), np.zeros((ticks, COLOURS, 3), np.uint8)
        for at in here:
            place, frame = seen.frames.ticks[at] % ticks, seen.frames.pixels(at)
            hashes[place], colours[place] = perceptual_hash(frame), dominant_colours(frame)
        records.append({"phash": hashes, "colours": colours})
    return records


def perceptual_hash(frame: np.ndarray) -> int:
    """64 bits of a frame uint8 [h, w, 3]: which low frequencies of its grey picture lie above their median.

    Pictures that look alike differ in few bits. Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 2010, section 3.2.

    >>> frame = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    >>> (perceptual_hash(frame) ^ perceptual_hash(frame // 2)).bit_count() < 4
    True
    """
    rows, columns = (np.linspace(0, size - 1, SIDE).round().astype(int) for size in frame.shape[:2])
    grey = frame[np.ix_(rows, columns)].mean(axis=2)
    at = np.arange(SIDE)
    cosines = np.cos(np.pi * np.outer(at[:HASH_SIDE], 2 * at + 1) / (2 * SIDE))
    low = (cosines @ grey @ cosines.T).ravel()
    bits = low > np.median(low[1:])  # the first is the mean brightness
    return int(np.packbits(bits).view(">u8")[0])


def dominant_colours(frame: np.ndarray) -> np.ndarray:
    """uint8 [COLOURS, 3]: mean colours of the fullest of 64 boxes of the RGB cube; black where a frame has fewer boxes.

    >>> dominant_colours(np.full((4, 4, 3), 200, np.uint8))[0].tolist()
    [200, 200, 200]
    """
    pixels = frame.reshape(-1, 3)
    boxes = (pixels // 64).astype(int) @ [16, 4, 1]
    counts = np.bincount(boxes, minlength=64)
    fullest = np.argsort(-counts, kind="stable")[:COLOURS]
    return np.array([pixels[boxes == box].mean(axis=0) if counts[box] else [0, 0, 0] for box in fullest]).astype(
        np.uint8
    )

"""A still picture is embedded once; everything else has an embedding of its own."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import made_unit

from reelbeam.schemas.elements import Decoded, UnitFeatures
from reelbeam.transforms.embed_frames import embed_frames, stills


class Counting:
    """Stands for CLIP: an embedding is the mean colour, and every frame seen is counted."""

    def __init__(self) -> None:
        self.seen = 0

    def encode(self, frames: np.ndarray) -> np.ndarray:
        self.seen += len(frames)
        return frames.mean(axis=(1, 2)).astype(np.float32)


def unit_of(levels: list[int]) -> UnitFeatures:
    """A unit whose frames are of one grey each."""
    frames = np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])
    ticks = np.arange(len(levels), dtype=np.int32)
    none = np.zeros(0, np.float32)
    return UnitFeatures(made_unit(), Decoded(frames, ticks, ticks * 1000, none, 0, 0, 0, none.astype(np.int32)))


@pytest.mark.parametrize(
    ("levels", "most_difference", "expected"),
    [
        ([5, 5, 5, 9, 9, 5], 0.0, [0, 0, 0, 3, 3, 5]),
        ([5, 6, 7, 8, 9, 10], 2.0, [0, 0, 0, 3, 3, 3]),
        ([5], 0.0, [0]),
    ],
)
def test_a_frame_is_compared_with_the_one_that_was_embedded(
    levels: list[int], most_difference: float, expected: list[int]
) -> None:
    decoded = unit_of(levels).decoded
    assert decoded is not None
    assert stills(decoded.frames, most_difference).tolist() == expected


def test_copies_share_an_embedding_within_a_unit_and_never_across_units() -> None:
    encoder = Counting()
    group = (unit_of([5, 5, 7]), unit_of([7, 7, 5]))
    embedded, shared = embed_frames(group, encoder)
    assert (encoder.seen, shared) == (4, 2)
    for features, levels in zip(embedded, ([5, 5, 7], [7, 7, 5]), strict=True):
        assert features.frame_embeddings is not None
        assert features.frame_embeddings[:, 0].tolist() == levels
        assert features.decoded is not None
        assert len(features.decoded.frames) == 0

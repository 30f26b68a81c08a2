"""EmbedFrames: one CLIP embedding per frame. Pixels are dropped after it.

In:  groups of units with decoded frames uint8 [n, S, S, 3].
Out: the same with `frame_embeddings` float32 [n, D], unit length, and no frames.
Bad: no input fails here. Errors of the machine are raised.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..models.frame_engines import FrameEncoder, FrameSpec
from ..models.loaded import loaded, preload
from ..schemas.elements import Group
from .metrics import StageMetrics


def stills(frames: np.ndarray, most_difference: float = 0.0) -> np.ndarray:
    """int [n]: for each frame of one unit, the earlier frame whose embedding it reuses, or itself.

    A frame is compared with the last embedded frame, not with its neighbour, so that a slow pan does not accumulate.
    `most_difference` is the largest mean difference over all bytes, of 255; 0 reuses embeddings only for exact copies.
    """
    shared = np.arange(len(frames))
    for at in range(1, len(frames)):
        kept = shared[at - 1]
        if most_difference:
            difference = np.abs(frames[at].astype(np.int16) - frames[kept]).mean()
        else:
            difference = float(not np.array_equal(frames[at], frames[kept]))
        if difference <= most_difference:
            shared[at] = kept
    return shared


def embed_frames(group: Group, encoder: FrameEncoder, most_difference: float = 0.0) -> tuple[Group, int]:
    """Embeds the frames of all units of a group in full batches. A still picture is embedded once.

    Returns the group, and the number of frames that reuse the embedding of an earlier one.
    """
    pictured = [features for features in group if features.decoded is not None and len(features.decoded.ticks)]
    if not pictured:
        return group, 0
    frames = np.concatenate([features.decoded.frames for features in pictured if features.decoded])
    counts = [len(features.decoded.ticks) for features in pictured if features.decoded]
    starts = np.cumsum([0, *counts])
    shared = np.concatenate(
        [stills(frames[start:end], most_difference) + start for start, end in itertools.pairwise(starts)]
    )
    needed, places = np.unique(shared, return_inverse=True)
    found = encoder.encode(frames if len(needed) == len(frames) else frames[needed])[places]
    pieces = dict(zip((id(features) for features in pictured), np.split(found, np.cumsum(counts)[:-1]), strict=True))
    embedded = tuple(
        replace(
            features,
            frame_embeddings=pieces[id(features)],
            decoded=replace(features.decoded, frames=features.decoded.frames[:0]),
        )
        if features.decoded is not None and id(features) in pieces
        else features
        for features in group
    )
    return embedded, len(frames) - len(needed)


class EmbedFrames:
    """Fills the embeddings of frames, for RunModels."""

    name: ClassVar[str] = "embed_frames"
    fills: ClassVar[tuple[str, ...]] = ("frame_embeddings", "decoded")

    def __init__(self, spec: FrameSpec, device: str = "auto", most_difference: float = 0.0):
        self.spec, self.device, self.most_difference = spec, device, most_difference

    def setup(self) -> None:
        preload(self.spec, self.device)

    def run(self, group: Group, metrics: StageMetrics) -> Group:
        encoder = loaded(self.spec, self.device)
        with metrics.busy(flush=False):
            embedded, shared = embed_frames(group, encoder, self.most_difference)
        metrics.add(frames=sum(len(one.decoded.ticks) for one in group if one.decoded), shared=shared)
        return embedded

"""EmbedFrames: one CLIP embedding a frame; the pixels end here.

In:  groups of units with decoded frames uint8 [n, S, S, 3].
Out: the same with `frame_embeddings` float32 [n, D], unit length, and no frames.
Bad: nothing of the input's: whatever fails here is the machine's fault and is raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import apache_beam as beam
import numpy as np

from ..models.clip import ClipSpec
from ..models.loaded import loaded, preload
from ..schemas.elements import Group
from .metrics import StageMetrics


class FrameEncoder(Protocol):
    """What this stage needs of a CLIP model."""

    def encode(self, frames: np.ndarray) -> np.ndarray: ...


def embed_frames(group: Group, encoder: FrameEncoder) -> Group:
    """Embeds the frames of all units of a group as one run of full batches."""
    pictured = [features for features in group if features.decoded is not None and len(features.decoded.ticks)]
    if not pictured:
        return group
    frames = np.concatenate([features.decoded.frames for features in pictured if features.decoded])
    found = encoder.encode(frames)
    counts = [len(features.decoded.ticks) for features in pictured if features.decoded]
    pieces = dict(zip((id(features) for features in pictured), np.split(found, np.cumsum(counts)[:-1]), strict=True))
    return tuple(
        replace(
            features,
            frame_embeddings=pieces[id(features)],
            decoded=replace(features.decoded, frames=features.decoded.frames[:0]),
        )
        if features.decoded is not None and id(features) in pieces
        else features
        for features in group
    )


class _EmbedFrames(beam.DoFn):
    def __init__(self, spec: ClipSpec, device: str):
        self.spec, self.device = spec, device

    def setup(self) -> None:
        self.metrics = StageMetrics("embed_frames")
        preload(self.spec, self.device)

    def process(self, group: Group) -> Iterator[Group]:
        encoder = loaded(self.spec, self.device)
        self.metrics.add(frames=sum(len(features.decoded.ticks) for features in group if features.decoded))
        with self.metrics.busy():
            embedded = embed_frames(group, encoder)
        yield embedded


class EmbedFrames(beam.PTransform):
    """Groups with frames -> groups with embeddings."""

    def __init__(self, spec: ClipSpec, device: str = "auto"):
        super().__init__()
        self.do = _EmbedFrames(spec, device)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)

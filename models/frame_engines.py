"""The engines that embed frames and texts into one space: open_clip and sentence-transformers, behind one contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..schemas.errors import UsageError
from .clip import ClipSpec
from .sentence_clip import ENGINE, SentenceClipSpec

OPEN_CLIP = "open_clip"

FrameSpec = ClipSpec | SentenceClipSpec
"""A model for frames. Both kinds have pixels, dimension, identity(), of_identity(), sees_as(), check() and load()."""

ENGINES: dict[str, type[ClipSpec] | type[SentenceClipSpec]] = {OPEN_CLIP: ClipSpec, ENGINE: SentenceClipSpec}


class FrameEncoder(Protocol):
    """A loaded model for frames."""

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [n, h, w, 3] RGB -> float32 [n, D], unit length."""

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length, comparable with embeddings of frames."""


def frame_engine(fields: Mapping[str, Any], source: str) -> tuple[type[FrameSpec], dict[str, Any]]:
    """The spec's class that a models file's `clip` part asks for, and its fields. Raises UsageError for an unknown engine."""
    engine = fields.get("engine", OPEN_CLIP)
    if engine not in ENGINES:
        raise UsageError(f"--models {source}: clip has no engine {engine!r}; known: {', '.join(ENGINES)}")
    return ENGINES[engine], {name: value for name, value in fields.items() if name != "engine"}


def spec_of_identity(identity: Mapping[str, Any]) -> FrameSpec:
    """The spec of an identity of any version; one without an engine is open_clip's."""
    return ENGINES[identity.get("engine", OPEN_CLIP)].of_identity(identity)


def shown(identity: Mapping[str, Any]) -> str:
    """An identity for people: network and weights."""
    return f"{identity.get('architecture', identity.get('engine'))} {identity['weights']}"

"""Encodes queries with exactly the models that made a dataset. Raises ModelMismatch when their weights differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.clip import ClipEncoder, ClipSpec
from ..models.fusion import HOWS, FusionSpec
from ..models.loaded import loaded
from ..models.text import TextEncoder, TextSpec
from ..schemas.errors import ModelMismatch
from ..schemas.snapshot import Snapshot
from ..schemas.vector_sources import FRAMES, FUSED, SPEECH, VectorSource
from .fusers import Windows, fuser_of


def clip_of(identity: dict[str, Any]) -> ClipSpec:
    """The CLIP model that made a dataset. Raises ModelMismatch when the installed weights differ."""
    spec = ClipSpec.of_identity(identity)
    here = spec.identity()
    if here != identity:
        raise ModelMismatch(
            f"the dataset was made with CLIP weights {identity['weights']} of sha256 {identity['weights_sha256'][:12]}, "
            f"the installed ones have {here['weights_sha256'][:12]}; cure: install the version that made it"
        )
    return spec


def text_encoder(snapshot: Snapshot, device: str) -> TextEncoder:
    """The sentence model that made a dataset. Raises ModelMismatch when the installed weights differ."""
    made_with = snapshot.models["text"]
    spec = TextSpec.of_identity(made_with)
    if spec.identity() != made_with:
        raise ModelMismatch(
            f"the dataset's texts were embedded with {made_with['weights']} of sha256 {made_with['weights_sha256'][:12]}, "
            "the installed model differs; cure: install the version that made it"
        )
    return loaded(spec, device)


def fusion_of(snapshot: Snapshot) -> FusionSpec:
    """The fusion that made a dataset's fused embeddings.

    Raises UsageError when the dataset has none, and ModelMismatch when the installed fusion differs.
    """
    FUSED.dimension(snapshot.shape)
    made_with = dict(snapshot.models["fusion"])
    how, sha256 = made_with.get("how", "an unknown fusion"), made_with.get("weights_sha256", "")
    named = f"{how}, sha256 {sha256[:12]}" if sha256 else how
    cure = "cure: bring that file back to its place" if sha256 else "cure: install the version that made it"
    remade = "or run: reelbeam nightly --fuse HOW --remodel"
    if how not in HOWS and not Path(how).is_file():
        raise ModelMismatch(f"the dataset was fused by {named}, which does not exist here; {cure}, {remade}")
    spec = FusionSpec(**{name: made_with[name] for name in made_with if name not in ("model", "weights_sha256")})
    if spec.identity() != made_with:
        raise ModelMismatch(
            f"the dataset was fused by {named}, which differs from the {how} found here; {cure}, {remade}"
        )
    return spec


def fused_queries(snapshot: Snapshot, seen: np.ndarray, said: np.ndarray, device: str) -> np.ndarray:
    """Fuses text queries: `seen` float32 [q, D] from CLIP and `said` float32 [q, E] from the sentence model -> float32 [q, F].

    A query is fused like a window with one frame, `seen`, and the transcript `said`, without sound.
    """
    shape, count = snapshot.shape, len(seen)
    frames = np.zeros((count, shape.ticks, shape.frame_dim), np.float32)
    frames[:, 0] = seen
    valid = np.zeros((count, shape.ticks), bool)
    valid[:, 0] = True
    silence = np.zeros((count, shape.ticks, shape.audio_dim), np.float32)
    asked = Windows(frames, valid, silence, np.zeros_like(valid), said, seen)
    vectors: np.ndarray = fuser_of(fusion_of(snapshot), device)(asked)
    return vectors


def encode_queries(
    kind: VectorSource, snapshot: Snapshot, texts: Sequence[str], device: str, clip: ClipEncoder | None = None
) -> np.ndarray:
    """Encodes texts as vectors float32 [q, N] comparable with those of an index of `kind`. Raises ModelMismatch, UsageError."""
    if kind == SPEECH:
        return text_encoder(snapshot, device).encode_query(texts)
    clip = clip or loaded(clip_of(snapshot.models["clip"]), device)
    seen: np.ndarray = clip.encode_text(texts)
    if kind == FRAMES:
        return seen
    return fused_queries(snapshot, seen, text_encoder(snapshot, device).encode_query(texts), device)

"""Queries as vectors: by the very models that made a dataset, and never by others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.clip_words import WordEncoder, word_encoder
from ..models.frame_engines import FrameSpec, shown, spec_of_identity
from ..models.fusion import HOWS, FusionSpec
from ..models.loaded import loaded
from ..models.sentence_query import QueryEncoder, query_encoder
from ..models.text import TextEncoder, TextSpec
from ..schemas.errors import ModelMismatch
from ..schemas.snapshot import Snapshot
from ..schemas.vector_sources import FRAMES, FUSED, SPEECH, VectorSource
from .fusers import Windows, fuser_of

FEW_TEXTS = 200
"""So many texts are sooner encoded on one thread than open_clip is imported, where the text tower can run without it."""


def clip_of(identity: dict[str, Any]) -> FrameSpec:
    """The CLIP that made a dataset. Raises ModelMismatch when the weights here are not the same."""
    spec = spec_of_identity(identity)
    here = spec.identity()
    if here != identity:
        raise ModelMismatch(
            f"the dataset was made with CLIP {shown(identity)}, which is another one here: "
            f"{differences(identity, here)}; cure: install the version that made it"
        )
    return spec


def differences(made_with: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What two identities of one model differ in, in words.

    >>> differences({"weights": "a", "weights_sha256": "0123456789abcdef"}, {"weights": "a", "weights_sha256": "fedcba9876543210"})
    'weights_sha256 0123456789ab, here fedcba987654'
    """
    names = [name for name in {**made_with, **here} if made_with.get(name) != here.get(name)]

    def part(identity: Mapping[str, Any], name: str) -> str:
        value = identity.get(name, "not stated")
        return value[:12] if name == "weights_sha256" else str(value)

    return "; ".join(f"{name} {part(made_with, name)}, here {part(here, name)}" for name in names)


def text_of(snapshot: Snapshot) -> TextSpec:
    """The sentence model that made a dataset. Raises ModelMismatch when the weights here are not the same."""
    made_with = snapshot.models["text"]
    spec = TextSpec.of_identity(made_with)
    if (here := spec.identity()) != made_with:
        raise ModelMismatch(
            f"the dataset's texts were embedded with {made_with['weights']}, which is another one here: "
            f"{differences(made_with, here)}; cure: install the version that made it"
        )
    return spec


def text_encoder(snapshot: Snapshot, device: str) -> TextEncoder:
    """The sentence model that made a dataset, for texts and queries. Raises ModelMismatch."""
    encoder: TextEncoder = loaded(text_of(snapshot), device)
    return encoder


def said_encoder(snapshot: Snapshot, device: str) -> QueryEncoder:
    """The same for queries alone: where its weights can do so, and no GPU is asked for, without importing torch."""
    return query_encoder(text_of(snapshot), device)


def fusion_of(snapshot: Snapshot) -> FusionSpec:
    """The fusion that made a dataset's fused embeddings. Raises UsageError where it has none, ModelMismatch for another file."""
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
    """float32 [q, F] of the same words in CLIP's space [q, D] and in the sentence model's [q, E]: a query is fused as a
    window in which the words stand for the picture, and are said, without sound. Zeros in `seen` are no picture."""
    shape, count = snapshot.shape, len(seen)
    frames = np.zeros((count, shape.ticks, shape.frame_dim), np.float32)
    frames[:, 0] = seen
    valid = np.zeros((count, shape.ticks), bool)
    valid[:, 0] = seen.any(axis=1)
    silence = np.zeros((count, shape.ticks, shape.audio_dim), np.float32)
    asked = Windows(frames, valid, silence, np.zeros_like(valid), said, seen)
    vectors: np.ndarray = fuser_of(fusion_of(snapshot), device)(asked)
    return vectors


def unseen(snapshot: Snapshot, count: int) -> np.ndarray:
    """What queries are in CLIP's space where frames are off: zeros float32 [q, D]."""
    return np.zeros((count, snapshot.shape.frame_dim), np.float32)


def encode_queries(kind: VectorSource, snapshot: Snapshot, texts: Sequence[str], device: str) -> np.ndarray:
    """Words as vectors float32 [q, N] that stand beside those of an index. Raises ModelMismatch, UsageError."""
    if kind == SPEECH:
        return text_encoder(snapshot, device).encode_query(texts)
    if kind == FRAMES:
        kind.dimension(snapshot.shape)
    seen: np.ndarray = unseen(snapshot, len(texts))
    if FRAMES.is_stored(snapshot.shape):
        clip = clip_of(snapshot.models["clip"])
        encoder = word_encoder(clip, device) if len(texts) <= FEW_TEXTS else loaded(clip, device)
        seen = encoder.encode_text(texts)
    if kind == FRAMES:
        return seen
    return fused_queries(snapshot, seen, text_encoder(snapshot, device).encode_query(texts), device)


def encode_query(
    kind: VectorSource, snapshot: Snapshot, text: str, device: str, clip: WordEncoder | None = None
) -> np.ndarray:
    """One query as a vector float32 [N], as `encode_queries` gives it but for rounding, and without torch where its models
    can do so: importing torch takes longer than the rest of a search. `clip` replaces the dataset's own. Raises as that does."""
    if kind == SPEECH:
        return said_encoder(snapshot, device).encode_query([text])[0]
    if kind == FRAMES or not SPEECH.is_stored(snapshot.shape):  # sound alone has nothing that words could be like
        FRAMES.dimension(snapshot.shape)
    if FRAMES.is_stored(snapshot.shape):
        clip = clip or word_encoder(clip_of(snapshot.models["clip"]), device)
        seen = clip.encode_text([text])
    else:
        seen = unseen(snapshot, 1)
    if kind == FRAMES:
        return seen[0]
    return fused_queries(snapshot, seen, said_encoder(snapshot, device).encode_query([text]), device)[0]

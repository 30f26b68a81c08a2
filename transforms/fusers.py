"""Formulas that fuse a window's frames, words and sound into one vector. No Beam, because search fuses its queries too.

Let p be the unit-length mean of a window's valid frame embeddings f_t, t its text embedding, a its timbre (MFCC 1 to 19, each
averaged over the ticks with sound, scaled to unit length), and w the weights of the modalities that the window has:

    concat     v = [sqrt(w_f) p ; sqrt(w_t) t ; sqrt(w_a) a],        F = D + E + 19, zeros where a modality is missing
    mean       v = w_f p + w_t c,                                    F = D
    attention  v = sum_t s_t f_t,  s = softmax(f_t . q / TEMPERATURE),  F = D

each scaled to unit length. c is the transcript in CLIP's text space; q is c, or p when there is no transcript. The inner product
of two concat vectors is sum_m w_m cos_m / sqrt(W_1 W_2), with m over the modalities that both windows have, and W the sum of
weights of each window's modalities. So a missing modality neither helps nor hurts. A window without frames has no attention
vector. For a window with only frames, mean gives p, and attention uses q = p.

A learned fusion is a TorchScript file with forward(frames [B, T, D], frame_valid bool [B, T], sound [B, T, A], text [B, E],
present bool [B, 3] for frames, sound, text; others float32) -> float32 [B, F], and an int attribute `dimension`, which is F.

Source of the attention: Bain et al. 2022, "A CLIP-Hitchhiker's Guide to Long Video Retrieval" (query scoring).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from ..models.fusion import ATTENTION, CONCAT, MEAN, TIMBRE, FusionSpec
from ..models.loaded import loaded
from ..models.profiles import Profile
from ..schemas.tensors import tensor, tensor_array, with_column

TEMPERATURE = 0.1
"""The best value in the paper."""


@dataclass(frozen=True)
class Windows:
    """The inputs of a fusion, one row per window; float32, zeros where a modality is missing."""

    frames: np.ndarray
    """[B, T, D], unit length where `frame_valid`."""
    frame_valid: np.ndarray
    """bool [B, T]"""
    sound: np.ndarray
    """[B, T, A]"""
    sound_valid: np.ndarray
    """bool [B, T]"""
    text: np.ndarray
    """[B, E], unit length or zeros."""
    spoken: np.ndarray
    """[B, D]: the transcript in CLIP's text space, unit length or zeros. Only mean and attention use it."""

    @property
    def present(self) -> np.ndarray:
        """bool [B, 3]: frames, sound, text."""
        return np.stack([self.frame_valid.any(1), self.sound_valid.any(1), self.text.any(1)], axis=1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scales each row to unit length; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: np.ndarray = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return scaled


def pooled(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[B, T, N] -> [B, N]: the mean over valid ticks; zeros when no tick is valid."""
    counts = np.maximum(valid.sum(1), 1)[:, None]
    mean: np.ndarray = (values * valid[..., None]).sum(1) / counts
    return mean


def fuse(windows: Windows, spec: FusionSpec) -> np.ndarray:
    """Fuses windows with the formulas above: float32 [B, F], unit length; zeros for a window with nothing to fuse."""
    shown = unit(pooled(windows.frames, windows.frame_valid))
    if spec.how == CONCAT:
        heard = unit(pooled(windows.sound, windows.sound_valid)[:, TIMBRE])
        parts = [(spec.frame_weight, shown), (spec.text_weight, windows.text), (spec.sound_weight, heard)]
        return unit(np.concatenate([np.sqrt(weight) * part for weight, part in parts], axis=1))
    if spec.how == MEAN:
        return unit(spec.frame_weight * shown + spec.text_weight * windows.spoken)
    assert spec.how == ATTENTION
    query = np.where(windows.spoken.any(1, keepdims=True), windows.spoken, shown)
    scores = np.where(windows.frame_valid, np.einsum("btd,bd->bt", windows.frames, query) / TEMPERATURE, -np.inf)
    scores -= np.where(windows.frame_valid.any(1), scores.max(1), 0)[:, None]
    shares = np.exp(scores) * windows.frame_valid
    return unit(np.einsum("bt,btd->bd", shares, windows.frames))


class Fuser(Protocol):
    """A function from windows to fused vectors float32 [B, F]."""

    def __call__(self, windows: Windows) -> np.ndarray: ...


class WordEncoder(Protocol):
    """CLIP's interface that this stage uses."""

    def encode_text(self, texts: Sequence[str]) -> np.ndarray: ...


def windows_of(table: pa.Table, frame_dim: int, clip: WordEncoder | None) -> Windows:
    """The fusion inputs of a windows table. `clip` embeds the transcripts for a fusion that needs them in CLIP's text space."""
    texts = table["text"].to_pylist()
    said: np.ndarray = np.array([bool(text) for text in texts], bool)
    spoken = np.zeros((len(texts), frame_dim), np.float32)
    if clip is not None and said.any():
        spoken[said] = clip.encode_text([text for text in texts if text])
    return Windows(
        tensor(table, "frame_embedding").astype(np.float32),
        tensor(table, "tick_valid").astype(bool) & _stored(table, "frame_embedding"),
        tensor(table, "audio_feature").astype(np.float32),
        tensor(table, "tick_sound").astype(bool) & _stored(table, "audio_feature"),
        tensor(table, "text_embedding").astype(np.float32) * said[:, None],
        spoken,
    )


def _stored(table: pa.Table, name: str) -> np.ndarray:
    """Which windows have a value in a column, bool [B, 1]; none where its sense is off."""
    return np.asarray(table[name].is_valid(), bool)[:, None]


def fuser_of(spec: FusionSpec, device: str) -> Fuser:
    """The fusion function of a spec: one of the formulas, or a learned module."""
    if spec.file:
        module = loaded(spec, device)
        return lambda windows: module.fuse(
            windows.frames, windows.frame_valid, windows.sound, windows.text, windows.present
        )
    return lambda windows: fuse(windows, spec)


def fused(table: pa.Table, profile: Profile, device: str) -> pa.Table:
    """Adds the column `fused_embedding` to a windows table."""
    if not len(table):
        return table
    clip = loaded(profile.clip, device) if profile.fusion.needs_words_in_clip else None
    found = fuser_of(profile.fusion, device)(windows_of(table, profile.clip.dimension, clip))
    return with_column(table, "fused_embedding", tensor_array(found.astype(np.float16), np.asarray(found.any(1))))

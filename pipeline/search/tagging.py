"""Retrieval jobs that describe: labels for windows, and key frames of a video. Each returns a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...models.clip_words import ClipWords, WordEncoder
from ...models.loaded import loaded
from ...schemas.errors import UsageError
from ...schemas.vector_sources import FRAMES
from ...transforms.encode_queries import clip_of
from ...transforms.neighbours import cover, percentile_of
from ..dataset import Dataset, RowLocations, window_vectors

PROMPT = "a photo of {}"
"""Template for a label that is one word. A label with a space is used as it is."""

DEFAULT_SCALE = 100.0
"""CLIP's largest logit scale: where trained models end."""

SUMMARY_TICKS = 3000
"""Frames that a summary compares. A longer video is sampled evenly."""


def read_labels(file: str) -> list[str]:
    """One label a line; empty lines and lines that begin with # do not count. Raises UsageError for none."""
    try:
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}; give a text file with one label a line") from error
    labels = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not labels:
        raise UsageError(f"{file} holds no label; give one a line")
    return labels


def scale_of(encoder: WordEncoder) -> float:
    """CLIP's logit scale, which is its inverse temperature: the factor of a cosine before the softmax over labels."""
    if isinstance(encoder, ClipWords):
        return encoder.scale
    found = getattr(getattr(encoder, "model", None), "logit_scale", None)
    return float(found.exp()) if found is not None else DEFAULT_SCALE


def tag(dataset: Dataset, labels: Sequence[str], device: str, top: int) -> pa.Table:
    """The best labels of each window: uri, start_ms, end_ms, label, score, probability, percentile.

    `score` is the cosine of the label and the window's mean frame. `probability` is CLIP's own: the softmax over all labels,
    with the scale that it was trained with; it says which label, given that one of them is right. `percentile` is the
    share of all windows that the label fits less: calibrated by the dataset, so that labels can be compared.
    """
    FRAMES.dimension(dataset.snapshot.shape)
    encoder = loaded(clip_of(dataset.snapshot.models["clip"]), device)
    words = encoder.encode_text([label if " " in label else PROMPT.format(label) for label in labels])
    return tag_with(dataset, labels, words, scale_of(encoder), top)


def tag_with(dataset: Dataset, labels: Sequence[str], words: np.ndarray, scale: float, top: int) -> pa.Table:
    """The same for labels given as vectors, float32 [labels, D]. Uses 4 bytes of memory per window and label."""
    numbers, parts = [], []
    for rows, vectors, valid in window_vectors(dataset):
        mean = (vectors * valid[..., None]).sum(axis=1)
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        numbers.append(rows)
        parts.append((mean @ words.T).astype(np.float32))
    scores = np.concatenate([np.zeros((0, len(labels)), np.float32), *parts])
    rows = np.concatenate([np.zeros(0, np.int64), *numbers])
    logits = scale * (scores - scores.max(axis=1, keepdims=True, initial=-math.inf))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    levels = np.stack([percentile_of(column, np.sort(column)) for column in scores.T], axis=1)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    where = RowLocations(dataset)
    line = np.repeat(np.arange(len(rows)), best.shape[1])
    label = best.ravel()
    starts = where.window[rows].astype(np.int64) * where.ticks
    return pa.table(
        {
            "uri": pa.array([where.uris[at] for at in where.video[rows[line]].tolist()], pa.string()),
            "start_ms": pa.array([where.ms(int(at)) for at in starts[line]], pa.int64()),
            "end_ms": pa.array([where.ms(int(at) + where.ticks) for at in starts[line]], pa.int64()),
            "label": pa.array([labels[at] for at in label.tolist()], pa.string()),
            "score": scores[line, label].astype(np.float64),
            "probability": chances[line, label].astype(np.float64),
            "percentile": levels[line, label],
        }
    )


def keyframes(dataset: Dataset, name: str, k: int) -> pa.Table:
    """The k frames that represent a video best, in its order: uri, ms, share, likeness.

    `share` is the share of the video's frames that it stands for, `likeness` their mean cosine to it.
    """
    where = RowLocations(dataset)
    video = where.find(name)
    ids, vectors = where.vectors(video)
    if not len(ids):
        raise UsageError(f"{name}: no frames: it has no pictures, or none that could be read; see reelbeam status")
    every = -(-len(ids) // SUMMARY_TICKS)
    ids, vectors = ids[::every], vectors[::every]
    places, stands_for = cover(vectors, k)
    likeness = (vectors * vectors[places[stands_for]]).sum(axis=1)
    return pa.table(
        {
            "uri": pa.array([where.uris[video]] * len(places), pa.string()),
            "ms": pa.array([where.ms(int(at)) for at in where.tick_of(ids[places])], pa.int64()),
            "share": pa.array([float((stands_for == at).mean()) for at in range(len(places))], pa.float64()),
            "likeness": pa.array([float(likeness[stands_for == at].mean()) for at in range(len(places))], pa.float64()),
        }
    )

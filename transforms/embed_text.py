"""EmbedText: one sentence embedding per window with words.

In:  groups of `UnitRows`.
Out: the same with `text_embedding` for windows with text, and null for the others.
Bad: no input fails here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import apache_beam as beam
import numpy as np

from ..models.loaded import loaded, preload
from ..models.text import TextSpec
from ..schemas.elements import UnitRows
from ..schemas.tensors import tensor_array, with_column
from .metrics import StageMetrics


class SentenceEncoder(Protocol):
    """The sentence model's interface that this stage uses."""

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


def text_vectors(
    texts: Sequence[str], encode: Callable[[list[str]], np.ndarray], dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float16 [n, E] of texts, and whether each text has one, bool [n]. Empty texts are not passed to `encode`.

    `encode` is not called when all texts are empty.
    """
    spoken = np.array([bool(text) for text in texts], bool)
    values = np.zeros((len(texts), dimension), np.float16)
    if spoken.any():
        values[spoken] = encode([text for text in texts if text]).astype(np.float16)
    return values, spoken


def embed_text(group: tuple[UnitRows, ...], encoder: SentenceEncoder) -> tuple[UnitRows, ...]:
    """Embeds the texts of all units of a group in one batch."""
    texts = [text for rows in group for text in rows.table["text"].to_pylist()]
    if not any(texts):
        return group
    dimension = group[0].table.schema.field("text_embedding").type.byte_width // 2
    values, spoken = text_vectors(texts, encoder.encode, dimension)
    done, at = [], 0
    for rows in group:
        span = slice(at, at := at + len(rows.table))
        column = tensor_array(values[span], spoken[span])
        done.append(replace(rows, table=with_column(rows.table, "text_embedding", column)))
    return tuple(done)


class _EmbedText(beam.DoFn):
    def __init__(self, spec: TextSpec, device: str):
        self.spec, self.device = spec, device

    def setup(self) -> None:
        self.metrics = StageMetrics("embed_text")
        preload(self.spec, self.device)

    def process(self, group: tuple[UnitRows, ...]) -> Iterator[tuple[UnitRows, ...]]:
        if any(rows.table["text"].to_pylist() for rows in group):
            encoder = loaded(self.spec, self.device)
            with self.metrics.busy():
                group = embed_text(group, encoder)
        yield group


class EmbedText(beam.PTransform):
    """Groups of rows -> groups of rows with text embeddings."""

    def __init__(self, spec: TextSpec, device: str = "auto"):
        super().__init__()
        self.do = _EmbedText(spec, device)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)

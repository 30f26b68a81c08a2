"""EmbedText: one sentence embedding per window with words, and one of each further sense's texts.

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
import pyarrow as pa

from ..models.loaded import loaded, preload
from ..models.text import TextSpec
from ..schemas.elements import UnitRows
from ..schemas.tables import RowShape
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


def embedded_texts(shape: RowShape) -> dict[str, str]:
    """The columns with embeddings of texts, and the column of each one's texts. Nothing is said where speech is off."""
    senses = {one.name: one.embeds for sense in shape.senses for one in sense.columns if one.embeds}
    spoken = {} if "text_embedding" in shape.off_columns else {"text_embedding": "text"}
    return {**spoken, **senses}


def texts_of(table: pa.Table, name: str) -> list[str]:
    """The text of each row in a column: a string, or the `text` of each record of a list, joined. "" where there is none."""
    values = table[name].to_pylist()
    if pa.types.is_string(table.schema.field(name).type):
        return [value or "" for value in values]
    return [" ".join(record["text"] for record in value or ()) for value in values]


def embed_text(
    group: tuple[UnitRows, ...], encoder: SentenceEncoder, into: str = "text_embedding", of: str = "text"
) -> tuple[UnitRows, ...]:
    """Embeds the texts in column `of` of all units of a group, in one batch."""
    texts = [text for rows in group for text in texts_of(rows.table, of)]
    if not any(texts):
        return group
    dimension = group[0].table.schema.field(into).type.byte_width // 2
    values, spoken = text_vectors(texts, encoder.encode, dimension)
    done, at = [], 0
    for rows in group:
        span = slice(at, at := at + len(rows.table))
        column = tensor_array(values[span], spoken[span])
        done.append(replace(rows, table=with_column(rows.table, into, column)))
    return tuple(done)


class _EmbedText(beam.DoFn):
    def __init__(self, spec: TextSpec, device: str, columns: dict[str, str]):
        self.spec, self.device, self.columns = spec, device, columns

    def setup(self) -> None:
        self.metrics = StageMetrics("embed_text")
        if self.columns:
            preload(self.spec, self.device)

    def process(self, group: tuple[UnitRows, ...]) -> Iterator[tuple[UnitRows, ...]]:
        for into, of in self.columns.items():
            if any(any(texts_of(rows.table, of)) for rows in group):
                encoder = loaded(self.spec, self.device)
                with self.metrics.busy():
                    group = embed_text(group, encoder, into, of)
        yield group


class EmbedText(beam.PTransform):
    """Groups of rows -> groups of rows with text embeddings."""

    def __init__(self, spec: TextSpec, shape: RowShape, device: str = "auto"):
        super().__init__()
        self.do = _EmbedText(spec, device, embedded_texts(shape))

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)

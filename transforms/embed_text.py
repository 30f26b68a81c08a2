"""EmbedText: one sentence embedding a window that has words.

In:  groups of `UnitRows`.
Out: the same with `text_embedding` set where there is text, null where there is none.
Bad: nothing of the input's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import apache_beam as beam
import numpy as np

from ..models.loaded import loaded, preload
from ..models.text import TextSpec
from ..schemas.elements import UnitRows
from ..schemas.tables import tensor_array
from .metrics import StageMetrics


class SentenceEncoder(Protocol):
    """What this stage needs of a sentence model."""

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


def embed_text(group: tuple[UnitRows, ...], encoder: SentenceEncoder) -> tuple[UnitRows, ...]:
    """Embeds the texts of all units of a group in one batch."""
    texts = [text for rows in group for text in rows.table["text"].to_pylist()]
    spoken = np.array([bool(text) for text in texts], bool)
    if not spoken.any():
        return group
    found = encoder.encode([text for text in texts if text])
    values = np.zeros((len(texts), found.shape[1]), np.float16)
    values[spoken] = found.astype(np.float16)
    done, at = [], 0
    for rows in group:
        span = slice(at, at := at + len(rows.table))
        place = rows.table.schema.get_field_index("text_embedding")
        column = tensor_array(values[span], spoken[span])
        done.append(replace(rows, table=rows.table.set_column(place, rows.table.schema.field(place), column)))
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

"""Titles: embeds the titles and descriptions of videos, all of a wave in one batch.

In:  rows of the videos table, as records. Failed videos have titles too.
Out: the same with `title_embedding` and `description_embedding`: bytes of float16 [E], unit length; None without a text.
Bad: no input fails here.

The model is the one that embeds transcripts. This is not a Beam stage: code that writes rows of the videos table calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.loaded import loaded
from ..models.text import TextSpec
from ..schemas.tables import TITLE_EMBEDDINGS
from .embed_text import text_vectors

NO_TITLES: dict[str, Any] = {**dict.fromkeys(TITLE_EMBEDDINGS, ""), **dict.fromkeys(TITLE_EMBEDDINGS.values())}
"""Columns of a removed video's row that are cleared: its texts and their embeddings."""


def embed_titles(
    rows: Iterable[Mapping[str, Any]], encode: Callable[[list[str]], np.ndarray], dimension: int
) -> list[dict[str, Any]]:
    """The same rows with embeddings of all texts that lack one, made in one batch. `encode` is not called when none lacks one."""
    done = [{**dict.fromkeys(TITLE_EMBEDDINGS.values()), **row} for row in rows]
    waiting = [
        (row, text, name) for row in done for text, name in TITLE_EMBEDDINGS.items() if row[text] and row[name] is None
    ]
    vectors, _ = text_vectors([row[text] for row, text, _ in waiting], encode, dimension)
    for (row, _, name), vector in zip(waiting, vectors, strict=True):
        row[name] = vector.tobytes()
    return done


@dataclass(frozen=True)
class Titles:
    """The model that embeds titles, its device and its dimension."""

    spec: TextSpec
    device: str
    dimension: int

    def embed(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Adds missing embeddings to rows of the videos table. Loads the model only when an embedding is missing."""
        return embed_titles(rows, lambda texts: loaded(self.spec, self.device).encode(texts), self.dimension)

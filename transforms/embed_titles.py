"""Titles: the titles and descriptions of videos as sentence embeddings, all of a wave in one batch.

In:  rows of the videos table, as records. A video that failed has a title too.
Out: the same with `title_embedding` and `description_embedding`: bytes of float16 [E], unit length; None without a text.
Bad: nothing of the input's.

The model is the one that reads the transcripts. No stage of its own: whoever writes rows of the videos table asks for it.
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
"""What the row of a removed video keeps of its texts: nothing."""


def embed_titles(
    rows: Iterable[Mapping[str, Any]], encode: Callable[[list[str]], np.ndarray], dimension: int
) -> list[dict[str, Any]]:
    """The same rows with the vectors of all texts that have none yet, made in one batch; `encode` is not called for none."""
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
    """Which model embeds titles, where, and how long its vectors are."""

    spec: TextSpec
    device: str
    dimension: int

    def embed(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows of the videos table with their embeddings. The model is loaded when one is missing."""
        return embed_titles(rows, lambda texts: loaded(self.spec, self.device).encode(texts), self.dimension)

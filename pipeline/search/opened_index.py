"""open_index: an index in Python. Search by words, picture or vector, within what a filter lets through.

from reelbeam.pipeline.search import open_index

frames = open_index("/data/features")
for frame in frames.search("a dog on a beach", k=5, uri="*/holiday/*", language="en", present=("speech",)):
    print(frame.uri, frame.ms, frame.score)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...models.frame_engines import FrameEncoder
from ...schemas.errors import UsageError
from ...schemas.tables import MODALITIES, OK
from ...schemas.tensors import tensor
from ..dataset import Dataset
from ..indexes import changes_since
from .frames import FrameIndex, Hit, Moment, merge_hits

HITS_A_MOMENT = 10


@dataclass(frozen=True)
class Filter:
    """Conditions on a frame. The empty filter passes all frames."""

    uri: str = ""
    """A pattern: `*` stands for any text, `?` for one letter."""
    language: str = ""
    """Of the speech in its window, as Whisper names it."""
    start_ms: int = 0
    end_ms: int | None = None
    """Its presentation time lies in [start_ms, end_ms)."""
    present: tuple[str, ...] = ()
    """Modalities that its window has: frame, audio, speech, text."""

    def __post_init__(self) -> None:
        if unknown := set(self.present) - set(MODALITIES):
            raise UsageError(f"present {', '.join(sorted(unknown))}: choose from {', '.join(MODALITIES)}")


@dataclass(frozen=True)
class Frame:
    """One frame found. `ms` is its presentation time, `text` what is said in its window."""

    id: int
    score: float
    uri: str
    video_id: str
    ms: int
    shot: int
    text: str


class Frames:
    """An open index over frames. Removed rows of the dataset's snapshot are never returned."""

    def __init__(self, dataset: Dataset, name: str = "frames"):
        self.index = FrameIndex(dataset, name)
        self.dataset, self.searcher = dataset, self.index.faiss
        self.ticks: int = self.index.manifest.ids_a_row
        if self.index.manifest.covers is not None:
            self.searcher.leave_out(changes_since(dataset, self.index.manifest).removed)
        self._allowed: dict[Filter, np.ndarray] = {}

    def __len__(self) -> int:
        return int(self.searcher.ntotal)

    def encoder(self, device: str = "auto") -> FrameEncoder:
        """The model that made the vectors."""
        return self.index.encoder("", device)

    def allowed(self, wanted: Filter) -> np.ndarray | None:
        """The ids that pass a filter, int64; None for all. Read once per filter, from small columns."""
        if wanted == Filter():
            return None
        if wanted not in self._allowed:
            asked = (*(["language"] if wanted.language else []), *(f"{name}_status" for name in wanted.present))
            self.dataset.snapshot.shape.check_on(*asked)
            columns = ["uri", "language", "tick_pts_ms", "tick_valid", *(f"{name}_status" for name in wanted.present)]
            found = [np.zeros(0, np.int64)]
            for rows, batch in self.dataset.batches(columns):
                fits = np.ones(len(rows), bool)
                if wanted.uri:
                    fits &= [fnmatchcase(uri, wanted.uri) for uri in batch["uri"].to_pylist()]
                if wanted.language:
                    fits &= [language == wanted.language for language in batch["language"].to_pylist()]
                for name in wanted.present:
                    fits &= [status == OK for status in batch[f"{name}_status"].to_pylist()]
                pts = tensor(batch, "tick_pts_ms")
                inside = (pts >= wanted.start_ms) & (pts < (math.inf if wanted.end_ms is None else wanted.end_ms))
                inside &= tensor(batch, "tick_valid").astype(bool) & fits[:, None]
                found.append((rows[:, None] * self.ticks + np.arange(self.ticks))[inside])
            self._allowed[wanted] = np.concatenate(found)
        return self._allowed[wanted]

    def nearest(self, queries: np.ndarray, k: int, wanted: Filter | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k best ids for each query float32 [q, D] of unit length: scores float32 [q, k], ids int64 [q, k], -1 for none.

        The fewer frames a filter leaves, the more lists are searched, so that the number of compared vectors stays the same.
        """
        if queries.ndim != 2 or queries.shape[1] != self.searcher.d:
            raise UsageError(
                f"queries have the shape {queries.shape}, the index holds vectors of {self.searcher.d} numbers"
            )
        queries = np.ascontiguousarray(queries, np.float32)
        allowed = self.allowed(wanted or Filter())
        if allowed is None:
            return self.searcher.search(queries, k)
        return self.searcher.search_among(queries, k, allowed)

    def search(
        self,
        text: str = "",
        *,
        image: str | Path | np.ndarray | None = None,
        vector: np.ndarray | None = None,
        k: int = 10,
        device: str = "auto",
        **wanted: Any,
    ) -> list[Frame]:
        """The k best frames for words, a picture (file, or uint8 [h, w, 3]) or a vector float32 [D]; filters as in `Filter`."""
        scores, ids = self.nearest(self.vector(text, image, vector, device)[None], k, Filter(**wanted))
        return self.frames(scores[0], ids[0])

    def moments(
        self,
        text: str = "",
        *,
        image: str | Path | np.ndarray | None = None,
        vector: np.ndarray | None = None,
        k: int = 10,
        device: str = "auto",
        **wanted: Any,
    ) -> list[Moment]:
        """The same as moments: frames that touch in one shot are one."""
        query = self.vector(text, image, vector, device)
        scores, ids = self.nearest(query[None], k * HITS_A_MOMENT, Filter(**wanted))
        rows = self._rows(ids[0])
        hits = [
            Hit.at(score, at, rows[at // self.ticks], self.ticks)
            for score, at in zip(scores[0].tolist(), ids[0].tolist(), strict=True)
            if at >= 0
        ]
        return merge_hits(hits, k, self.dataset.snapshot.grid)

    def vector(
        self, text: str, image: str | Path | np.ndarray | None, vector: np.ndarray | None, device: str = "auto"
    ) -> np.ndarray:
        """The query as float32 [D], unit length. Raises UsageError unless exactly one thing is asked."""
        if (bool(text), image is not None, vector is not None).count(True) != 1:
            raise UsageError("ask with one of text, image and vector")
        if vector is not None:
            found = np.asarray(vector, np.float32)
            length = float(np.linalg.norm(found))
            if not length or not np.isfinite(length):
                raise UsageError("the query vector is zero or not a number: it has no direction")
            return found / length
        if text:
            words: np.ndarray = self.encoder(device).encode_text([text])[0]
            return words
        if not isinstance(image, np.ndarray):
            try:
                image = np.asarray(Image.open(str(image)).convert("RGB"))
            except OSError as error:
                raise UsageError(f"{image}: {error}") from error
        picture: np.ndarray = self.encoder(device).encode(image[None])[0]
        return picture

    def frames(self, scores: Sequence[float] | np.ndarray, ids: Sequence[int] | np.ndarray) -> list[Frame]:
        """The frames of some ids, in the order of the ids; -1 is left out."""
        rows = self._rows(np.asarray(ids))
        return [
            Frame(
                int(at),
                float(score),
                rows[at // self.ticks]["uri"],
                rows[at // self.ticks]["video_id"],
                int(rows[at // self.ticks]["tick_pts_ms"][at % self.ticks]),
                int(rows[at // self.ticks]["shot"][at % self.ticks]),
                rows[at // self.ticks]["text"] or "",
            )
            for score, at in zip(scores, np.asarray(ids).tolist(), strict=True)
            if at >= 0
        ]

    def _rows(self, ids: np.ndarray) -> dict[int, dict[str, Any]]:
        columns = ["video_id", "uri", "window", "tick_pts_ms", "shot", "text", "words"]
        return self.dataset.take((np.unique(ids[ids >= 0]) // self.ticks).tolist(), columns)


def open_index(output: str, name: str = "frames", version: int | None = None) -> Frames:
    """The index of OUTPUT's current snapshot, or of an older one. Raises UsageError where there is none."""
    return Frames(Dataset.open(output, version), name)

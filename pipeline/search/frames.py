"""search: finds moments for words or a picture. A moment is the span of one shot that holds the best frames."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...models.clip_words import WordEncoder, word_encoder
from ...models.frame_engines import FrameEncoder, FrameSpec, shown
from ...models.loaded import loaded
from ...models.profiles import profile
from ...schemas.elements import Grid
from ...schemas.errors import ModelMismatch, UsageError
from ...schemas.vector_sources import FRAMES
from ...transforms.encode_queries import clip_of
from ..dataset import Dataset
from ..indexes import open_searcher, read_manifest
from .options import SearchOptions

GAP_TICKS = 2
"""Hits in one shot that are at most this far apart belong to one moment."""

SAME_MOMENT = 0.8
"""A frame joins a moment if its score is at least this share of the best frame's score."""

HITS_A_MOMENT = 10
"""Frames requested per moment; more are requested when many fall into one moment."""

PLACED = ["video_id", "tick_pts_ms", "shot", "window"]
SHOWN = ["uri", "words"]
"""Columns that place a frame, and those that only the moments that are found need: words are many."""


@dataclass(frozen=True)
class Moment:
    """One answer. `best_ms` is the presentation time of its best frame, whose cosine to the query is `score`."""

    uri: str
    video_id: str
    start_ms: int
    end_ms: int
    best_ms: int
    score: float
    text: str
    highlights: tuple[tuple[int, int], ...] = ()
    """Half-open spans of characters of `text` that a search for words has found."""
    note: str = ""
    """What was found in place of a word that occurs nowhere."""
    row: int | None = None
    tick: int | None = None
    """Global row number and tick of its best frame, where it was found by its frames."""


@dataclass(frozen=True)
class Hit:
    """One frame that an index found, with its row."""

    score: float
    tick: int
    shot: int
    row: dict[str, Any]
    column: int
    number: int = -1
    """Global row number."""

    @classmethod
    def at(cls, score: float, found: int, row: dict[str, Any], ticks: int) -> Hit:
        """The hit of an id."""
        place = found % ticks
        return cls(score, row["window"] * ticks + place, int(row["shot"][place]), row, place, found // ticks)


class FrameIndex:
    """An index over frames, and the dataset that its ids refer to."""

    def __init__(self, dataset: Dataset, name: str = "frames"):
        FRAMES.dimension(dataset.snapshot.shape)  # frames that are off are told with their cure
        built = dataset.snapshot.indexes.get(name)
        if built is None:
            known = ", ".join(dataset.snapshot.indexes) or "none"
            raise UsageError(
                f"{dataset.storage.root} has no index {name!r} (it has: {known}); make it with: "
                f"reelbeam index {dataset.storage.root}"
            )
        self.dataset = dataset
        if built.of != FRAMES.name:
            raise UsageError(
                f"the index {name} is of {built.of}, here one of frames is wanted; cure: --name of another one"
            )
        self.manifest = read_manifest(dataset.storage, built)
        self.faiss = open_searcher(dataset.storage, self.manifest)

    @property
    def missing_frames(self) -> int:
        """Frames of the snapshot that came after the index was built."""
        return max(0, self.dataset.snapshot.counts.get("frames", 0) - self.faiss.ntotal)

    def encoder(self, models: str, device: str) -> FrameEncoder:
        """The CLIP model that made this index's vectors. Raises ModelMismatch when another one is asked for."""
        encoder: FrameEncoder = loaded(self._clip(models), device)
        return encoder

    def words(self, models: str, device: str) -> WordEncoder:
        """The same model for words alone. It does without torch when its weights allow that and no GPU is asked for."""
        return word_encoder(self._clip(models), device)

    @cached_property
    def _own_clip(self) -> FrameSpec:
        """The model that made this index's vectors. To compare it with the one here, files are read: once, not per query."""
        return clip_of(self.manifest.models["clip"])

    def _clip(self, models: str) -> FrameSpec:
        made_with = self.manifest.models["clip"]
        if not models:
            return self._own_clip
        spec = profile(models).clip
        if differs := spec.sees_as(made_with):
            raise ModelMismatch(
                f"the index was made with CLIP {shown(made_with)}, the query's is "
                f"{spec.architecture} {spec.weights}, which differs in {', '.join(differs)}: their scores mean nothing together. "
                "Cure: leave --models away"
            )
        return spec

    def search(self, query: np.ndarray, k: int, rows: np.ndarray | None = None) -> list[Moment]:
        """The k best moments for a vector float32 [D] of unit length, best first; of some rows int64 [n], or of all."""
        wanted = k * HITS_A_MOMENT
        while True:
            scores, ids = self.nearest(query[None], min(wanted, max(1, self.faiss.ntotal)), rows)
            moments = self._moments(scores[0][ids[0] >= 0], ids[0][ids[0] >= 0], k)
            if len(moments) >= k or wanted >= self.faiss.ntotal or ids[0][-1] < 0:
                return moments
            wanted *= 4

    def nearest(self, queries: np.ndarray, k: int, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k best frames of some rows, or of all, for float32 [q, D]: scores float32 [q, k], ids int64 [q, k], -1 for none."""
        if rows is None:
            return self.faiss.search(queries, k)
        ticks = self.manifest.ids_a_row
        return self.faiss.search_among(queries, k, (rows[:, None] * ticks + np.arange(ticks)).ravel())

    def nearest_outside(self, queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k best frames outside some rows int64 [n]."""
        ticks = self.manifest.ids_a_row
        return self.faiss.search_outside(queries, k, (rows[:, None] * ticks + np.arange(ticks)).ravel())

    def _moments(self, scores: np.ndarray, ids: np.ndarray, k: int) -> list[Moment]:
        ticks = self.manifest.ids_a_row
        rows = self.dataset.take([int(found) // ticks for found in ids], PLACED)
        hits = [
            Hit.at(score, found, rows[found // ticks], ticks)
            for score, found in zip(scores.tolist(), ids.tolist(), strict=True)
            if found // ticks in rows  # else it was removed after the index was built
        ]
        groups = grouped_hits(hits, k)
        shown = {hit.number for group in groups for hit in group}
        for number, texts in self.dataset.take(sorted(shown), SHOWN).items():
            rows[number] |= texts
        return [_moment(group, self.dataset.snapshot.grid) for group in groups]


def merge_hits(hits: list[Hit], k: int, grid: Grid) -> list[Moment]:
    """The k best moments of some hits, best first."""
    return [_moment(group, grid) for group in grouped_hits(hits, k)]


def grouped_hits(hits: list[Hit], k: int) -> list[list[Hit]]:
    """The hits of the k best moments, best moment first and its best hit first.

    Each hit that no moment holds yet opens one, which grows both ways through the hits of its shot. Hits that score less than
    SAME_MOMENT of the best do not stretch a moment; those that touch it open none either.
    """
    groups: list[list[Hit]] = []
    ordered = sorted(hits, key=lambda hit: -hit.score)
    shots: dict[tuple[str, int], list[Hit]] = {}
    for hit in ordered:
        shots.setdefault((hit.row["video_id"], hit.shot), []).append(hit)
    gone: set[int] = set()
    for best in ordered:
        if id(best) in gone:
            continue
        if len(groups) == k:
            break
        shot = [hit for hit in shots[best.row["video_id"], best.shot] if id(hit) not in gone]
        strong = [hit.tick for hit in shot if hit.score >= best.score - (1 - SAME_MOMENT) * abs(best.score)]
        first = last = best.tick
        for tick in sorted(strong, key=lambda tick: abs(tick - best.tick)):
            if first - GAP_TICKS <= tick <= last + GAP_TICKS:
                first, last = min(first, tick), max(last, tick)
        taken = [hit for hit in shot if first - GAP_TICKS <= hit.tick <= last + GAP_TICKS]
        groups.append([hit for hit in taken if first <= hit.tick <= last])
        gone.update(id(hit) for hit in taken)
    return groups


def _moment(group: list[Hit], grid: Grid) -> Moment:
    best = group[0]
    first, last = min(hit.tick for hit in group), max(hit.tick for hit in group)
    start_ms, end_ms = grid.tick_ms(first), grid.tick_ms(last + 1)
    words = {
        (word["start_ms"], word["word"]): word
        for hit in group
        for word in hit.row["words"] or ()
        if word["start_ms"] < end_ms and word["end_ms"] > start_ms
    }
    text = " ".join(word["word"] for _, word in sorted(words.items()))
    return Moment(
        best.row["uri"],
        best.row["video_id"],
        start_ms,
        end_ms,
        int(best.row["tick_pts_ms"][best.column]),
        round(best.score, 4),
        text,
        row=best.number,
        tick=best.column,
    )


def query_vector(index: FrameIndex, text: str, options: SearchOptions) -> np.ndarray:
    """float32 [D] for words or a picture. Raises UsageError for a picture that cannot be read."""
    if not options.image:
        return index.words(options.models, options.device).encode_text([text])[0]
    from PIL import Image

    try:
        picture = np.asarray(Image.open(options.image).convert("RGB"))
    except OSError as error:
        raise UsageError(f"--image {options.image}: {error}") from error
    return index.encoder(options.models, options.device).encode(picture[None])[0]


def as_json(query: str, moments: list[Moment]) -> str:
    return json.dumps(
        {"query": query, "moments": [{"rank": rank, **asdict(moment)} for rank, moment in enumerate(moments, 1)]},
        ensure_ascii=False,
        indent=1,
    )

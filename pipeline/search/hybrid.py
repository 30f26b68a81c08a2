"""Search in what is said, in fused embeddings, by title, in all at once, and for an exact phrase. Moments out, as `search`
gives them.

Frames come from an index, and so do the others where they have one (`reelbeam index --of speech|fused`); else they read their column of
every row and answer exactly: time is linear in the rows, memory is not.
`all` joins frames, speech, titles and exact words by a convex combination of normalised scores, because ranks do not tell a list that
knows the answer from one that does not. A cosine counts as far as it exceeds the query's mean cosine to the dataset, in units of
the model's training temperature, so that models can be compared; a moment of exact words counts by the share of the query's weight
that it holds. Both are raised to a power, so that a sure likeness outvotes several vague ones. `python -m benchmarks.ranking` chooses
the method, power and weights on one half of made queries and reports the other.

Source: Bruch, Gai, Ingber 2023, "An Analysis of Fusion Functions for Hybrid Retrieval" (convex combination beats rank fusion); Radford et
al. 2021, "Learning Transferable Visual Models From Natural Language Supervision" (temperature); Robertson, Zaragoza 2009, "The
Probabilistic Relevance Framework" (inverse document frequency).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ...schemas.errors import UsageError
from ...schemas.small_arrays import flags
from ...schemas.vector_sources import FRAMES, FUSED, SPEECH, VECTOR_SOURCES, WORDS, VectorSource
from ...transforms.encode_queries import encode_query, said_encoder
from ..dataset import Dataset, mean_vector
from ..words import SMALL, STORED_IN, exact_words, parse_query, plain_query
from .exact_words import ExactWords
from .frames import FrameIndex, Moment
from .tagging import scale_of
from .titles import has_titles, title_mean, title_moments
from .windows import ROW, WindowVectors

log = logging.getLogger("reelbeam")

DEPTH = 10
"""Moments taken from each list per moment wanted."""

WEIGHTS = {"words": 40.0, "frames": 1.0, "speech": 14.0, "titles": 8.0}
"""Rounded from those that the validation half of `benchmarks/ranking.py` chose, with the offline models. Fused embeddings are left
out: their best weight was about 0."""

POWER = 4
"""Chosen as the weights were."""

SENTENCE_SCALE = 20.0
"""Inverse temperature of sentence models. Source: sentence-transformers, MultipleNegativesRankingLoss, `scale`."""

UNIT = 10.0
"""Temperatures above the mean that count 1: about what separates a right moment from chance."""

LIKE = 0.6
"""A word that was found in place of one that occurs nowhere counts so much of an exact one."""


def by_likeness(found: Sequence[Moment], mean: float, scale: float) -> list[Moment]:
    """Moments with their cosines normalised: the excess over the query's mean cosine, raised to POWER; 1 at UNIT temperatures.

    >>> [one.score for one in by_likeness([Moment("a", "a", 0, 1, 0, 0.7, "")], mean=0.2, scale=20)]
    [1.0]
    """
    return [replace(one, score=round((max(0.0, one.score - mean) * scale / UNIT) ** POWER, 5)) for one in found]


def joined(
    lists: Mapping[str, Sequence[Moment]], k: int, window_ms: float, weights: Mapping[str, float] = WEIGHTS
) -> list[Moment]:
    """Lists of moments with normalised scores as one: the k windows with the highest weighted sum.

    Each list contributes its best moment per window: the window that holds the moment's best frame. A window is represented by the
    moment that adds most; ties go to the earlier list. `titles` are whole videos: each adds to its window with the highest
    sum, or is an answer of its own where the lists have no window of it.
    """
    sums: dict[tuple[str, int], float] = {}
    shown: dict[tuple[str, int], tuple[float, Moment]] = {}
    for name in (name for name in lists if name != "titles"):
        best: dict[tuple[str, int], tuple[float, Moment]] = {}
        for one in lists[name]:
            added = weights[name] * one.score
            best.setdefault((one.video_id, int(one.best_ms // window_ms)), (added, one))
        for key, (added, one) in best.items():
            sums[key] = sums.get(key, 0.0) + added
            if key not in shown or added > shown[key][0]:
                shown[key] = (added, one)
    best_of: dict[str, tuple[str, int]] = {}
    for key in sorted(sums, key=lambda key: (-sums[key], key)):
        best_of.setdefault(key[0], key)
    for video in lists.get("titles", ()):
        key = best_of.get(video.video_id, (video.video_id, 0))
        sums[key] = sums.get(key, 0.0) + weights["titles"] * video.score
        shown.setdefault(key, (0.0, video))
    order = sorted(sums, key=lambda key: (-sums[key], key))[:k]
    return [replace(shown[key][1], score=round(sums[key], 5)) for key in order]


def said_words(dataset: Dataset, first: str) -> Iterator[tuple[dict[str, Any], list[tuple[str, int, int]]]]:
    """(row, its words as (lower-case word, start_ms, end_ms)), in the order of the rows; a row that cannot matter has no words."""
    for _, batch in dataset.batches([*ROW, "words"]):
        may = flags(pc.match_substring(batch["text"], first, ignore_case=True))
        wanted = may | np.append(False, may[:-1])  # a phrase may go on in the next window
        wanted[:1] = True
        for at, row in enumerate(batch.select(ROW).to_pylist()):
            words = batch["words"][at].as_py() if wanted[at] else []
            yield row, [(part, one["start_ms"], one["end_ms"]) for one in words for part in exact_words(one["word"])]


def phrase_moments(dataset: Dataset, phrase: str, k: int) -> list[Moment]:
    """The first k places where exactly these words are said in a row, also across windows; score 1.

    Reads all rows. Raises UsageError for a phrase without a word.
    """
    wanted = exact_words(phrase)
    if not wanted:
        raise UsageError(f"--phrase {phrase!r} holds no word")
    found: list[Moment] = []
    tail: list[tuple[str, int, int]] = []
    before: tuple[str, int] | None = None
    for row, words in said_words(dataset, wanted[0]):
        if before != (row["video_id"], row["window"] - 1):
            tail = []
        line = tail + words
        for at in range(len(line) - len(wanted) + 1):
            if at + len(wanted) > len(tail) and [word for word, _, _ in line[at : at + len(wanted)]] == wanted:
                start_ms, end_ms = line[at][1], line[at + len(wanted) - 1][2]
                found.append(Moment(row["uri"], row["video_id"], start_ms, end_ms, start_ms, 1.0, row["text"]))
        tail = line[-(len(wanted) - 1) :] if len(wanted) > 1 else []
        before = (row["video_id"], row["window"])
        if len(found) >= k:
            break
    return found[:k]


def find_phrase(dataset: Dataset, phrase: str, k: int) -> list[Moment]:
    """The same with an up-to-date lexical index, where there is one, which leaves few rows to be read.

    Raises UsageError also where speech is off.
    """
    SPEECH.dimension(dataset.snapshot.shape)
    if exact_words(phrase) and any(built.of == WORDS for built in dataset.snapshot.indexes.values()):
        indexed = ExactWords.open(dataset)
        if indexed.is_current:
            return indexed.phrases(phrase, k)
    return phrase_moments(dataset, phrase, k)


class Searches:
    """All ways to search one dataset by words. Each is opened at its first use."""

    def __init__(self, dataset: Dataset, name: str = "frames", models: str = "", device: str = "auto"):
        self.dataset, self.name, self.models, self.device = dataset, name, models, device
        self._opening = threading.RLock()
        self._windows: dict[str, WindowVectors] = {}
        self._means: dict[str, np.ndarray] = {}

    @cached_property
    def index(self) -> FrameIndex:
        """The index over frames."""
        return FrameIndex(self.dataset, self.name)

    @property
    def words(self) -> ExactWords:
        """The lexical index. Raises UsageError where a large dataset has none."""
        with self._opening:
            return self._words

    @cached_property
    def _words(self) -> ExactWords:
        return ExactWords.open(self.dataset)

    def find(self, where: str, text: str, k: int, among: np.ndarray | None = None) -> list[Moment]:
        """The k best moments for words: in frames, speech, fused, titles, words, screen, subtitles, or all; of all rows, or `among`
        some int64 [n] and the titles. Raises UsageError for words that are not in the query syntax, and for a kind of text that
        is not there."""
        if where == "titles":
            return self.titles(text, k)
        if where == "words":
            return self.words.moments(parse_query(text), k, among)
        if where in STORED_IN:
            return self.words.within(where).moments(parse_query(text), k, among)
        if where != "all":
            return self.single(VECTOR_SOURCES[where], text, k, among)
        grid = self.dataset.snapshot.grid
        return joined(self.evidence(text, k * DEPTH, among), k, grid.window_ticks * 1000 / float(grid.tick_hz))

    def evidence(self, text: str, k: int, among: np.ndarray | None = None) -> dict[str, list[Moment]]:
        """What each list says of a query: its k best moments, scores normalised. Exact words first: their moments have highlights."""
        found: dict[str, list[Moment]] = {}
        if self.has_words and (clauses := plain_query(text)):
            words = self.words.found(clauses, k, among)
            shares = [one.coverage * (LIKE if one.moment.note else 1.0) for one in words]
            found["words"] = [
                replace(one.moment, score=round(share**POWER, 5)) for one, share in zip(words, shares, strict=True)
            ]
            found["words"].sort(key=lambda one: -one.score)
        shape = self.dataset.snapshot.shape
        texts = {sense for sense, _ in STORED_IN.values()} & {sense.name for sense in shape.senses}
        if {"frames", "speech"} <= {*shape.off} and not texts and not has_titles(self.dataset):
            FRAMES.dimension(shape)  # nothing is left that could be found
        if FRAMES.is_stored(shape) and self.dataset.snapshot.counts.get("frames"):
            clip = self.index.words(self.models, self.device)
            query = clip.encode_text([text])[0]
            found["frames"] = by_likeness(
                self.index.search(query, k, among), float(self._mean(FRAMES) @ query), scale_of(clip)
            )
        query = said_encoder(self.dataset.snapshot, self.device).encode_query([text])[0]
        if unsearched := self.unsearched_speech:
            log.warning("speech is not searched by meaning: %s", unsearched)
        elif SPEECH.is_stored(shape):
            spoken = self._vectors(SPEECH).nearest(query, k, among)
            found["speech"] = by_likeness(spoken, float(self._mean(SPEECH) @ query), SENTENCE_SCALE)
        if has_titles(self.dataset):
            titled, mean = title_moments(self.dataset, query, k), title_mean(self.dataset)
            found["titles"] = by_likeness(titled, float(mean @ query), SENTENCE_SCALE)
        return found

    def open(self) -> None:
        """Opens what a search of all kinds needs, and loads the query models. Reads no column of a bucket.

        Raises UsageError where there is no index of frames.
        """
        shape = self.dataset.snapshot.shape
        if self.dataset.storage.is_local or not SPEECH.is_stored(shape) or self._vectors(SPEECH).searcher is not None:
            self.find("all", "a", 1)
            return
        self.find("frames" if FRAMES.is_stored(shape) else "titles", "a", 1)
        said_encoder(self.dataset.snapshot, self.device).encode_query(["a"])
        if self._indexed_words:
            self.find("words", "a", 1)

    @property
    def unsearched_speech(self) -> str:
        """Why `all` leaves speech out, with the cure; empty where it does not."""
        if not SPEECH.is_stored(self.dataset.snapshot.shape) or not self._vectors(SPEECH).is_far:
            return ""
        root = self.dataset.storage.root
        return f"its vectors have no index and lie in a bucket; cure: reelbeam index {root} --of speech"

    def _mean(self, kind: VectorSource) -> np.ndarray:
        """The mean of the dataset's vectors. Of a bucket: that of a sample of the index, which is on this machine."""
        if kind.name not in self._means:
            if self.dataset.storage.is_local:
                self._means[kind.name] = mean_vector(self.dataset, kind)
            else:
                self._means[kind.name] = self.index.faiss.mean() if kind == FRAMES else self._vectors(kind).mean()
        return self._means[kind.name]

    def _vectors(self, kind: VectorSource) -> WindowVectors:
        with self._opening:
            if kind.name not in self._windows:
                self._windows[kind.name] = WindowVectors(self.dataset, kind)
            return self._windows[kind.name]

    @property
    def has_words(self) -> bool:
        """Whether words can be searched: there is an index of them, or the dataset is small."""
        return self._indexed_words or self.dataset.snapshot.counts.get("windows", 0) <= SMALL

    @property
    def _indexed_words(self) -> bool:
        return any(built.of == WORDS for built in self.dataset.snapshot.indexes.values())

    def single(self, kind: VectorSource, text: str, k: int, among: np.ndarray | None = None) -> list[Moment]:
        """The k best moments by one kind of vector."""
        asked = kind == FRAMES or (kind == FUSED and self.models)
        clip = self.index.words(self.models, self.device) if asked else None
        query = encode_query(kind, self.dataset.snapshot, text, self.device, clip)
        if kind == FRAMES:
            return self.index.search(query, k, among)
        return self._vectors(kind).nearest(query, k, among)

    def titles(self, text: str, k: int) -> list[Moment]:
        """The k best videos by title or description. Raises UsageError where none has either."""
        return title_moments(self.dataset, said_encoder(self.dataset.snapshot, self.device).encode_query([text])[0], k)

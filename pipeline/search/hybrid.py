"""Search in what is said, in fused embeddings, by title, in all at once, and for an exact phrase. Moments out, as `search`
gives them.

Frames come from an index, and so do the others where they have one (`reelbeam index --of speech|fused`); else they read their column of
every row and answer exactly: time is linear in the rows, memory is not.
`all` joins the lists by reciprocal rank fusion: a window's score is the sum over the lists of 1 / (RANK_OFFSET + rank). A video
that is found by its title adds its share to the best of its windows, so that it does not fill the answer with all of them.

Source: Cormack, Clarke, Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ...schemas.errors import UsageError
from ...schemas.small_arrays import flags
from ...schemas.vector_sources import FRAMES, FUSED, SPEECH, VECTOR_SOURCES, WORDS, VectorSource
from ...transforms.encode_queries import encode_query, said_encoder
from ..dataset import Dataset
from ..words import SMALL, STORED_IN, exact_words, parse_query, plain_query
from .exact_words import ExactWords
from .frames import FrameIndex, Moment
from .titles import has_titles, title_moments
from .windows import ROW, WindowVectors

RANK_OFFSET = 0
"""The paper has 60, for many long lists. With three, what only one of them finds could then never win; measured on the
sample bucket's mixed queries, 0 is best (README)."""

DEPTH = 10
"""Moments taken from each list per moment wanted."""


def fused_ranks(
    lists: Sequence[Sequence[Moment]], k: int, window_ms: float, titled: Sequence[Moment] = ()
) -> list[Moment]:
    """Several lists of moments as one: the k windows with the highest sum of 1 / (RANK_OFFSET + rank), ranks from 1.

    Each list contributes its best-ranked moment per window: the window that holds the moment's best frame. A window is
    represented by the moment with the best rank; ties go to the earlier list. `titled` are whole videos: each adds to its
    window with the highest sum, or is an answer of its own where the lists have no window of it.
    """
    sums: dict[tuple[str, int], float] = {}
    shown: dict[tuple[str, int], tuple[int, Moment]] = {}
    for found in lists:
        seen = set()
        for rank, moment in enumerate(found, 1):
            key = (moment.video_id, int(moment.best_ms // window_ms))
            if key in seen:
                continue
            seen.add(key)
            sums[key] = sums.get(key, 0.0) + 1 / (RANK_OFFSET + rank)
            if key not in shown or rank < shown[key][0]:
                shown[key] = (rank, moment)
    best_of: dict[str, tuple[str, int]] = {}
    for key in sorted(sums, key=lambda key: (-sums[key], key)):
        best_of.setdefault(key[0], key)
    for rank, video in enumerate(titled, 1):
        key = best_of.get(video.video_id, (video.video_id, 0))
        sums[key] = sums.get(key, 0.0) + 1 / (RANK_OFFSET + rank)
        shown.setdefault(key, (rank, video))
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
    """The same with an up-to-date lexical index, where there is one, which leaves few rows to be read."""
    if exact_words(phrase) and any(built.of == WORDS for built in dataset.snapshot.indexes.values()):
        indexed = ExactWords.open(dataset)
        if indexed.is_current:
            return indexed.phrases(phrase, k)
    return phrase_moments(dataset, phrase, k)


class Searches:
    """All ways to search one dataset by words. Each is opened at its first use."""

    def __init__(self, dataset: Dataset, name: str = "frames", models: str = "", device: str = "auto"):
        self.dataset, self.name, self.models, self.device = dataset, name, models, device
        self._windows: dict[str, WindowVectors] = {}

    @cached_property
    def index(self) -> FrameIndex:
        """The index over frames."""
        return FrameIndex(self.dataset, self.name)

    @cached_property
    def words(self) -> ExactWords:
        """The lexical index. Raises UsageError where a large dataset has none."""
        return ExactWords.open(self.dataset)

    def find(self, where: str, text: str, k: int) -> list[Moment]:
        """The k best moments for words: in frames, speech, fused, titles, words, screen, subtitles, or all. Raises UsageError for
        words that are not in the query syntax, and for a kind of text that is not there."""
        if where == "titles":
            return self.titles(text, k)
        if where == "words":
            return self.words.moments(parse_query(text), k)
        if where in STORED_IN:
            return self.words.within(where).moments(parse_query(text), k)
        if where != "all":
            return self.single(VECTOR_SOURCES[where], text, k)
        snapshot = self.dataset.snapshot
        shown, fused = bool(snapshot.counts.get("frames")), FUSED.is_stored(snapshot.shape)
        kinds = [*([FRAMES] if shown else []), SPEECH, *([FUSED] if fused else [])]
        lists = [self.single(kind, text, k * DEPTH) for kind in kinds]
        if self.has_words and (clauses := plain_query(text)):
            lists.insert(0, self.words.moments(clauses, k * DEPTH))  # its moments have highlights, and win ties
        titled = self.titles(text, k * DEPTH) if has_titles(self.dataset) else []
        grid = snapshot.grid
        return fused_ranks(lists, k, grid.window_ticks * 1000 / float(grid.tick_hz), titled)

    @property
    def has_words(self) -> bool:
        """Whether words can be searched: there is an index of them, or the dataset is small."""
        indexed = any(built.of == WORDS for built in self.dataset.snapshot.indexes.values())
        return indexed or self.dataset.snapshot.counts.get("windows", 0) <= SMALL

    def single(self, kind: VectorSource, text: str, k: int) -> list[Moment]:
        """The k best moments by one kind of vector."""
        asked = kind == FRAMES or (kind == FUSED and self.models)
        clip = self.index.words(self.models, self.device) if asked else None
        query = encode_query(kind, self.dataset.snapshot, text, self.device, clip)
        if kind == FRAMES:
            return self.index.search(query, k)
        if kind.name not in self._windows:
            self._windows[kind.name] = WindowVectors(self.dataset, kind)
        return self._windows[kind.name].nearest(query, k)

    def titles(self, text: str, k: int) -> list[Moment]:
        """The k best videos by title or description. Raises UsageError where none has either."""
        return title_moments(self.dataset, said_encoder(self.dataset.snapshot, self.device).encode_query([text])[0], k)

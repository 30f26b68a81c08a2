"""Search for exact words: the documents of a lexical index as moments, with the time in which the words are said or shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ...schemas.errors import UsageError
from ...schemas.small_arrays import string_array
from ...schemas.vector_sources import WORDS
from ..dataset import Dataset
from ..words import (
    LEAD_WORDS,
    PLAIN,
    SMALL,
    STORED_IN,
    VIDEO_FIELDS,
    Clause,
    Occurrence,
    WindowText,
    WordHit,
    WordIndex,
    complete,
    covered,
    exact_spans,
    exact_words,
    fields_of,
    normal,
    occurrences,
    phrase_query,
    replaced,
    sense_columns,
    spans_of,
    texts_of_window,
    tightest,
)
from .frames import Moment

COLUMNS = ["video_id", "uri", "window", "start_ms", "end_ms", "language", "text", "words"]


PAGE = 100
"""Windows that are read at once for a phrase."""

MOST_WINDOWS = 8
"""Windows over which a phrase may extend."""


@dataclass(frozen=True)
class Found:
    """A moment, and the share of the query's weight (inverse document frequencies) that it holds: 1 is all of it."""

    moment: Moment
    coverage: float


class ExactWords:
    """Searches the words of a dataset with its lexical index; a small dataset is indexed in memory where it has none."""

    def __init__(self, dataset: Dataset, index: WordIndex):
        self.dataset, self.index = dataset, index

    @classmethod
    def open(cls, dataset: Dataset) -> ExactWords:
        """Raises UsageError where a large dataset has no lexical index."""
        built = next((one for one in dataset.snapshot.indexes.values() if one.of == WORDS), None)
        if built is not None:
            return cls(dataset, WordIndex.of_build(dataset, built))
        if dataset.snapshot.counts.get("windows", 0) > SMALL:
            root = dataset.storage.root
            raise UsageError(f"{root} has no index of words; make it with: reelbeam index {root} --of words")
        return cls(dataset, WordIndex.in_memory(dataset))

    def moments(self, clauses: Sequence[Clause], k: int, among: np.ndarray | None = None) -> list[Moment]:
        """The k best moments, best first."""
        return [found.moment for found in self.found(clauses, k, among)]

    def found(self, clauses: Sequence[Clause], k: int, among: np.ndarray | None = None) -> list[Found]:
        """The k best moments with their coverage; of all windows, or `among` some rows int64 [n] and the titles.

        Phrases are compared word for word, as they stand and unstemmed.

        Raises UsageError for a kind of text that the dataset or the index does not have.
        """
        for clause in clauses:
            self.check_field(clause.field)
        asked, total = k + 10, self.index.opened.searcher.num_docs
        while True:
            hits = self.index.hits(clauses, min(asked, max(1, total)))
            passing = hits if among is None else within(hits, among)
            answers = list(islice(self._answers(passing, clauses, k), k))
            if len(answers) >= k or len(hits) < asked or asked >= total:
                return answers[:k]
            asked *= 4

    def within(self, kind: str) -> ExactWords:
        """The same over one kind of text. Raises UsageError where that is not there."""
        self.check_field(kind)
        return ExactWords(self.dataset, self.index.within(kind))

    @property
    def fields(self) -> tuple[str, ...]:
        """The kinds of text that it finds."""
        return self.index.fields

    def check_field(self, kind: str) -> None:
        """Raises UsageError, with the cure, for a kind of text that is not there."""
        root = self.dataset.storage.root
        if kind in self.index.missing:
            raise UsageError(
                f"the index of words was built before the dataset had {kind}; cure: reelbeam index {root} --of words"
            )
        if kind in STORED_IN and kind not in fields_of(self.dataset.snapshot.shape):
            cure = f"reelbeam nightly INPUT {root} --senses +{STORED_IN[kind][0]} --remodel"
            raise UsageError(f"{root} has no texts of the kind {kind}; cure: {cure}")
        if kind and kind not in self.fields:
            raise UsageError(f"{kind}: is not searched with --in {', '.join(self.fields)}; cure: --in words")

    @property
    def is_current(self) -> bool:
        """Whether the index holds every row of the snapshot."""
        return not self.index.stale

    def phrases(self, phrase: str, k: int) -> list[Moment]:
        """The first k places, by row number, where exactly these words are said in a row, also across windows; score 1."""
        wanted = exact_words(phrase)
        [clause] = phrase_query(" ".join(wanted[: LEAD_WORDS + 1]))
        found: list[Moment] = []
        skip, reach = 0, min(len(wanted), MOST_WINDOWS)
        while len(found) < k:
            numbers = self.index.rows_with([clause], PAGE, skip)
            rows = self.dataset.take([number + more for number in numbers for more in range(reach)], COLUMNS)
            for number in numbers:
                if number in rows:
                    found += _phrase_at(phrase, [rows[number + at] for at in range(reach) if number + at in rows])
            skip += PAGE
            if len(numbers) < PAGE:
                break
        return found[:k]

    def _answers(self, hits: Sequence[WordHit], clauses: Sequence[Clause], page: int) -> Iterator[Found]:
        """The answers that hits are, read a page at a time: often the first page is enough."""
        columns = [*COLUMNS, *sense_columns(self.fields)]
        weights = [0.0 if clause.excluded else self.index.weight(clause) for clause in clauses]
        unknown = [self.index.is_unknown(clause) for clause in clauses]
        seen: set[tuple[str, int, int]] = set()
        rows: dict[int, dict[str, Any]] = {}
        titles: dict[int, dict[str, Any]] = {}
        for at, hit in enumerate(hits):
            if at % page == 0:
                numbers = [one.row for one in hits[at : at + page] if one.row is not None]
                rows = self.dataset.take([*numbers, *(number + 1 for number in numbers)], columns)
                titles = self._titles([one.video for one in hits[at : at + page] if one.video is not None])
            one = None
            if hit.row is not None and hit.row in rows:
                row, after = rows[hit.row], rows.get(hit.row + 1)
                if after and (after["video_id"], after["window"]) != (row["video_id"], row["window"] + 1):
                    after = None
                texts = [text for text in texts_of_window(row, after, self.fields) if text.kind in self.fields]
                one = in_window(texts, row, clauses, unknown, weights, hit.score)
            elif hit.video is not None and hit.video in titles:
                one = named(titles[hit.video], self.index.analyzers, clauses, unknown, weights, hit.score)
            if one and (key := (one.moment.video_id, one.moment.start_ms, one.moment.end_ms)) not in seen:
                seen.add(key)
                yield one

    def _titles(self, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Rows of the videos table by the id as a number."""
        if not numbers:
            return {}
        videos = self.dataset.newest.select(["video_id", "uri", "duration_ms", "title", "description"])
        asked = videos.filter(pc.is_in(videos["video_id"], string_array(f"{number:016x}" for number in numbers)))
        return {int(row["video_id"], 16): row for row in asked.to_pylist()}


def within(hits: Sequence[WordHit], among: np.ndarray) -> list[WordHit]:
    """The hits whose row is one of some int64 [n], and those of titles."""
    rows = np.array([-1 if hit.row is None else hit.row for hit in hits], np.int64)
    passes = (rows < 0) | np.isin(rows, among)
    return [hit for hit, does in zip(hits, passes.tolist(), strict=True) if does]


def in_window(
    texts: Sequence[WindowText],
    row: dict[str, Any],
    clauses: Sequence[Clause],
    unknown: Sequence[bool],
    weights: Sequence[float],
    score: float,
) -> Found | None:
    """The moment of a window in whose texts clauses are: in the text with the largest share of the query, from the first to the last
    of their words. None where no word of the window is one, or a phrase is not there word for word."""
    best: tuple[float, WindowText, list[Occurrence]] | None = None
    everywhere: list[Occurrence] = []
    for text in texts:
        words = [word.text for word in text.words]
        places = sorted(
            {one for name in text.analyzers for one in occurrences(words, name, clauses, unknown, text.kind)},
            key=lambda one: (one.first, one.last),
        )
        places = [one for one in places if one.first < text.own]
        everywhere += places
        if places and (best is None or covered(places, weights) > best[0]):
            best = (covered(places, weights), text, places)
    if best is None or not complete(everywhere, clauses):
        return None
    share, text, places = best
    first, last = tightest(places)
    words = [word.text for word in text.words]
    marked = {at for one in places for at in range(one.first, one.last + 1)}
    start_ms, end_ms = text.span_ms(at for at in range(first, last + 1) if at in marked)
    note = replaced(places, clauses, unknown, words)
    spans = spans_of(text.text, words[: text.own], marked)
    moment = Moment(row["uri"], row["video_id"], start_ms, end_ms, start_ms, round(score, 4), text.text, spans, note)
    return Found(moment, share)


def _phrase_at(phrase: str, rows: Sequence[dict[str, Any]]) -> Iterator[Moment]:
    """The places in a window where a phrase begins; it may go on in the windows after it."""
    first = rows[0]
    line = [
        row
        for at, row in enumerate(rows)
        if (row["video_id"], row["window"]) == (first["video_id"], first["window"] + at)
    ]
    words = [word for row in line for word in row["words"]]
    texts = [word["word"] for word in words]
    for one in occurrences(texts, PLAIN, [Clause(phrase, phrase=True)], [False], "speech"):
        if one.first < len(first["words"]):
            start_ms, end_ms = words[one.first]["start_ms"], words[one.last]["end_ms"]
            own = texts[: len(first["words"])]
            marked = spans_of(first["text"], own, set(range(one.first, one.last + 1)))
            yield Moment(first["uri"], first["video_id"], start_ms, end_ms, start_ms, 1.0, first["text"], marked)


def named(
    row: dict[str, Any],
    analyzers: Sequence[str],
    clauses: Sequence[Clause],
    unknown: Sequence[bool],
    weights: Sequence[float],
    score: float,
) -> Found | None:
    """The moment of a video whose title or description has the words: all of the video. The text is the better of the two."""
    best: tuple[float, str, tuple[tuple[int, int], ...], str] | None = None
    everywhere: list[Occurrence] = []
    for kind in VIDEO_FIELDS:
        text = normal(row[kind] or "")
        spans = exact_spans(text)
        words = [text[start:end] for start, end in spans]
        for name in analyzers:
            places = occurrences(words, name, clauses, unknown, kind)
            everywhere += places
            share = covered(places, weights)
            if places and (best is None or share > best[0]):
                marked = sorted({at for one in places for at in range(one.first, one.last + 1)})
                note = replaced(places, clauses, unknown, words)
                best = (share, text, tuple(spans[at] for at in marked), note)
    if best is None or not complete(everywhere, clauses):
        return None
    moment = Moment(row["uri"], row["video_id"], 0, row["duration_ms"], 0, round(score, 4), *best[1:])
    return Found(moment, best[0])

"""Searches a lexical index: builds tantivy's query out of clauses, and returns the documents found with their terms.

BM25 over each kind of text and analyzer; a word counts where it fits best. Words that follow each other as in the query count twice: as
words and as a phrase. A word that occurs nowhere is replaced by words that differ in one letter (inserted, left out, changed,
or swapped with its neighbour).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tantivy

from ...schemas.file_records import IndexInfo
from ..dataset import Dataset
from .analyzers import ROW, VIDEO, analyzers_for, exact_words, field_name, normal, register, schema_of, terms
from .documents import languages_of, titled, window_words
from .window_texts import fields_of
from .word_query import Clause
from .words_build import write_documents
from .words_store import OpenWords, read_words_manifest

LEAST_FUZZY = 4
"""Shorter words are not replaced: too many words differ from them in one letter."""

LONGEST_RUN = 12
"""Queries of more words are compared word by word only."""

MOST_GAPS = 5
"""Spaces of a phrase up to which it is looked for on screens without any of them: 31 ways to write it."""

SMALL = 20_000
"""Windows up to which a dataset without a lexical index is searched by building one in memory, in about a second."""


@dataclass(frozen=True)
class WordHit:
    """A document that matches: a window by row number, or a video by its id as a number."""

    score: float
    row: int | None
    video: int | None


def without_spaces(words: Sequence[str]) -> list[list[str]]:
    """A phrase with one of its spaces left out, or more: every way for a short phrase; each space alone and all at once for a longer one.

    >>> without_spaces(["a", "b", "c"])
    [['ab', 'c'], ['a', 'bc'], ['abc']]
    """
    gaps = len(words) - 1
    every = range(1, 2**gaps) if gaps <= MOST_GAPS else [*(1 << gap for gap in range(gaps)), 2**gaps - 1]
    found = []
    for closed in every:
        parts = [words[0]]
        for gap, word in enumerate(words[1:]):
            if closed >> gap & 1:
                parts[-1] += word
            else:
                parts.append(word)
        found.append(parts)
    return found


class WordIndex:
    """A lexical index that answers queries."""

    def __init__(
        self,
        opened: OpenWords,
        analyzers: tuple[str, ...],
        fields: tuple[str, ...],
        stale: int = 0,
        missing: tuple[str, ...] = (),
    ):
        self.opened, self.analyzers = opened, analyzers
        self.fields, self.missing = fields, missing
        """The kinds of text that it finds, and those that the dataset has and the index was built without."""
        self.stale = stale
        """How many rows of the snapshot are newer than the index."""
        self.schema = opened.index.schema

    @classmethod
    def of_build(cls, dataset: Dataset, built: IndexInfo) -> WordIndex:
        """Opens a published build. Raises CorruptOutput when its files are not those that the snapshot names."""
        manifest = read_words_manifest(dataset.storage, built)
        snapshot = dataset.snapshot
        behind = snapshot.next_row - built.rows
        stale = behind or int(built.snapshot < snapshot.rows_changed)
        stored = fields_of(snapshot.shape)
        fields = tuple(kind for kind in stored if kind in manifest.fields)
        missing = tuple(kind for kind in stored if kind not in manifest.fields)
        return cls(OpenWords.of_build(dataset.storage, manifest), manifest.analyzers, fields, stale, missing)

    @classmethod
    def in_memory(cls, dataset: Dataset) -> WordIndex:
        """Indexes a small dataset now, for this process alone."""
        analyzers = analyzers_for(languages_of(dataset))
        fields = fields_of(dataset.snapshot.shape)
        schema = schema_of(analyzers, fields)
        index = register(tantivy.Index(schema), analyzers)
        writer = index.writer(64_000_000, 1)
        write_documents(writer, window_words(dataset, dataset.snapshot.shards), titled(dataset), analyzers)
        writer.commit()
        writer.wait_merging_threads()
        return cls(OpenWords(index), analyzers, fields)

    def within(self, kind: str) -> WordIndex:
        """The same index over one of its kinds of text."""
        return WordIndex(self.opened, self.analyzers, (kind,), self.stale, self.missing)

    def hits(self, clauses: Sequence[Clause], k: int) -> list[WordHit]:
        """The k best documents, best first."""
        searcher, query, best = self.opened.searcher, self._query(clauses), max(1, k)
        found = searcher.search(query, limit=best, count=False).hits
        if (run := self._run(clauses)) is not None:
            # a query of words alone skips most documents, one of words and a phrase none: of the two lists the best are the best of all
            both = tantivy.Query.boolean_query([(tantivy.Occur.Must, run), (tantivy.Occur.Must, query)])
            held = {(one.segment_ord, one.doc): (score, one) for score, one in found}
            held |= {
                (one.segment_ord, one.doc): (score, one)
                for score, one in searcher.search(both, limit=best, count=False).hits
            }
            found = [held[at] for at in sorted(held, key=lambda at: (-held[at][0], at))[:best]]  # type: ignore[operator]
        places = [place for _, place in found]
        rows = searcher.fast_field_values(ROW, places)
        videos = searcher.fast_field_values(VIDEO, places)
        return [
            WordHit(float(score), row, video)  # type: ignore[arg-type]
            for (score, _), row, video in zip(found, rows, videos, strict=True)
        ]

    def rows_with(self, clauses: Sequence[Clause], k: int, skip: int = 0) -> list[int]:
        """Row numbers of windows that match, k after the first `skip`, in order."""
        query = self._query(clauses)
        found = self.opened.searcher.search(
            query, limit=k, count=False, order_by_field=ROW, offset=skip, order=tantivy.Order.Asc
        ).hits
        return [int(row) for row, _ in found]

    def weight(self, clause: Clause) -> float:
        """How much a clause tells: the inverse document frequency of its rarest term, as in BM25; most where it occurs nowhere."""
        total = self.opened.searcher.num_docs
        counts = [self._count(clause.field, name, clause.text) for name in self.analyzers]
        count = max(counts, default=0)
        return math.log(1 + (total - count + 0.5) / (count + 0.5))

    def is_unknown(self, clause: Clause) -> bool:
        """Whether a word occurs in no document, and is long enough to look for others like it."""
        long = len(clause.text) >= LEAST_FUZZY
        return (
            long
            and not clause.phrase
            and not any(self._count(clause.field, name, clause.text) for name in self.analyzers)
        )

    def _count(self, field: str, name: str, text: str) -> int:
        """Documents that hold the rarest term of a text; 0 for a text without terms."""
        found = terms(name, text)
        kinds = (field,) if field else self.fields
        if not found:
            return 0
        return min(max(self.opened.searcher.doc_freq(field_name(kind, name), term) for kind in kinds) for term in found)

    def _query(self, clauses: Sequence[Clause]) -> tantivy.Query:
        parts: list[tuple[tantivy.Occur, tantivy.Query]] = []
        some: list[tantivy.Query] = []
        for clause in clauses:
            found = self._clause(clause)
            if clause.excluded:
                parts.append((tantivy.Occur.MustNot, found))
            elif clause.required:
                parts.append((tantivy.Occur.Must, found))
            else:
                some.append(found)
        either = [(tantivy.Occur.Should, query) for query in some]
        if either and all(occur == tantivy.Occur.MustNot for occur, _ in parts):
            if not parts:
                return tantivy.Query.boolean_query(either)
            either = [(tantivy.Occur.Must, tantivy.Query.boolean_query(either))]
        return tantivy.Query.boolean_query([*parts, *either])

    def _run(self, clauses: Sequence[Clause]) -> tantivy.Query | None:
        """The words of a query as a phrase: where they follow each other they count twice. None where that cannot be."""
        run = [clause for clause in clauses if not clause.required and not clause.excluded]
        if not 2 <= len(run) <= LONGEST_RUN:
            return None
        either = [*self._fields(Clause(" ".join(clause.text for clause in run), phrase=True), fuzzy=False)]
        return tantivy.Query.disjunction_max_query(either) if either else None

    def _clause(self, clause: Clause) -> tantivy.Query:
        fuzzy = not clause.excluded and self.is_unknown(clause)
        either = [*self._fields(clause, fuzzy)]
        if len(either) == 1:  # tantivy skips far more documents than in a disjunction of one
            return either[0]
        return tantivy.Query.disjunction_max_query(either) if either else tantivy.Query.empty_query()

    def _fields(self, clause: Clause, fuzzy: bool) -> Iterator[tantivy.Query]:
        """A clause in each field that it may be in."""
        for kind in (clause.field,) if clause.field else self.fields:
            for name in self.analyzers:
                field, found = field_name(kind, name), terms(name, clause.text)
                if fuzzy and kind == "screen" and len(found) == 1:  # a reader of screens may leave out spaces
                    yield tantivy.Query.regex_query(self.schema, field, f".*{re.escape(found[0])}.*")
                if fuzzy:
                    for term in {*found, normal(clause.text).lower()}:
                        yield tantivy.Query.fuzzy_term_query(self.schema, field, term, 1, True)
                elif len(found) > 1 and kind == "screen":
                    yield tantivy.Query.phrase_query(self.schema, field, [*found])
                    yield from self._run_together(field, name, clause)
                elif not found or not all(self.opened.searcher.doc_freq(field, term) for term in found):
                    continue
                elif len(found) == 1:
                    yield tantivy.Query.term_query(self.schema, field, found[0])
                else:
                    yield tantivy.Query.phrase_query(self.schema, field, [*found])

    def _run_together(self, field: str, name: str, clause: Clause) -> Iterator[tantivy.Query]:
        """A phrase with spaces missing, as a reader of screens may give it."""
        for words in without_spaces(exact_words(clause.text)):
            found = terms(name, " ".join(words))
            if len(found) > 1:
                yield tantivy.Query.phrase_query(self.schema, field, [*found])
            elif found:
                yield tantivy.Query.term_query(self.schema, field, found[0])

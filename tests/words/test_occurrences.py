"""Where clauses stand in words: in any form for words, letter by letter for phrases."""

from __future__ import annotations

from reelbeam.pipeline.words.occurrences import Occurrence, complete, covered, occurrences, spans_of, tightest
from reelbeam.pipeline.words.word_query import parse_query

SAID = "Dogs run. The dog ran home, and dogs slept".split()


def test_words_are_found_in_any_form_and_phrases_as_they_stand() -> None:
    clauses = parse_query('dog "the dog"')
    found = occurrences(SAID, "en", clauses, [False, False], "speech")
    assert found == [Occurrence(0, 0, 0), Occurrence(1, 2, 3), Occurrence(0, 3, 3), Occurrence(0, 7, 7)]
    assert tightest(found) == (2, 3)
    assert complete(found, clauses)
    assert not complete(found[:1], clauses), "the phrase must be there"


def test_the_share_of_the_weights_counts_each_clause_once() -> None:
    places = [Occurrence(0, 0, 0), Occurrence(0, 3, 3), Occurrence(2, 5, 5)]
    assert covered(places, [1.0, 2.0, 1.0]) == 0.5


def test_highlights_lie_on_the_words_even_where_a_word_repeats() -> None:
    text = "a man, a man"
    assert [text[start:end] for start, end in spans_of(text, text.split(), {2, 3})] == ["a", "man"]
    assert spans_of(text, text.split(), {2})[0] == (7, 8)

"""The query syntax: what is read, and what is refused with a cure."""

from __future__ import annotations

import pytest

from reelbeam.pipeline.words.word_query import Clause, parse_query, phrase_query, plain_query
from reelbeam.schemas.errors import UsageError


def test_words_phrases_exclusions_and_fields_are_read() -> None:
    assert parse_query('red "a car" -blue -"old car" title:sea description:"by the sea" -speech:noise') == (
        Clause("red"),
        Clause("a car", phrase=True),
        Clause("blue", excluded=True),
        Clause("old car", phrase=True, excluded=True),
        Clause("sea", field="title"),
        Clause("by the sea", phrase=True, field="description"),
        Clause("noise", excluded=True, field="speech"),
    )


def test_what_only_looks_like_syntax_is_words() -> None:
    assert [one.text for one in parse_query("well-known at 10:30 - really?")] == [
        "well-known",
        "at",
        "10:30",
        "really?",
    ]
    assert parse_query("“a red car”") == (Clause("a red car", phrase=True),)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('a "red car', "quote that is not closed"),
        ("colour:red", "names the field 'colour'; there are speech, screen, subtitles, title, description"),
        ("title: red", "nothing right after title:"),
        ("-red", "only says what must not be there"),
        ("... ?", "holds no word"),
    ],
)
def test_bad_syntax_is_refused_with_a_cure(query: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        parse_query(query)
    assert "Cure: " in str(refused.value)


def test_a_query_for_all_lists_has_no_syntax() -> None:
    assert [one.text for one in plain_query('"a red car" -blue title:sea')] == [
        "a",
        "red",
        "car",
        "blue",
        "title",
        "sea",
    ]
    assert plain_query("?!") == ()


def test_a_phrase_without_a_word_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no word"):
        phrase_query("?!")

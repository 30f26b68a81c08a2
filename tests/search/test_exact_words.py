"""Exact words: what is found, when it is said, what is highlighted, and what stands in for a misspelt word."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_words import MadeWords

from reelbeam.pipeline.search.exact_words import ExactWords
from reelbeam.pipeline.search.frames import Moment
from reelbeam.pipeline.search.hybrid import find_phrase, phrase_moments
from reelbeam.pipeline.words.occurrences import one_letter_apart
from reelbeam.pipeline.words.word_query import parse_query
from reelbeam.pipeline.words.words_build import update_words

SAID = [
    (1, 0, "en", "He saw a man with a great beard."),
    (1, 1, "en", "The man walked on. A dog with"),
    (1, 2, "en", "a beard barked at him."),
    (2, 0, "en", "Bearded dragons don't need beards, Ann said."),
    (3, 0, "ja", "私は 東京タワー に 行きました"),
    (4, 0, "de", "Die Häuser der Stadt"),
    (5, 0, "fr", "L'été à la montagne"),
    (6, 0, "cs", "Příliš žluťoučký kůň"),
]


@pytest.fixture(scope="module", params=["stored", "in memory"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeWords:
    made = MadeWords(tmp_path_factory.mktemp("words") / "out")
    made.say(SAID[:4], SAID[4:])
    made.title([(1, "Bearded men & <b>dogs</b>", ""), (2, "Reptiles", "About dragons and their beards")])
    if request.param == "stored":
        update_words(made.root)
    return made


def found(world: MadeWords, query: str, k: int = 10) -> list[Moment]:
    return ExactWords.open(world.data).moments(parse_query(query), k)


def uris(moments: list[Moment]) -> list[str]:
    return [moment.uri[8:-4] for moment in moments]


def test_a_moment_is_the_span_of_the_words_and_not_the_window(world: MadeWords) -> None:
    [first, *_] = found(world, "great beard")
    assert (first.uri, first.start_ms, first.end_ms, first.best_ms) == ("/videos/1.mp4", 6 * 300, 8 * 300, 6 * 300)
    assert [first.text[start:end] for start, end in first.highlights] == ["great", "beard."]


def test_a_phrase_is_found_word_for_word_and_across_windows(world: MadeWords) -> None:
    assert [(one.start_ms, one.end_ms) for one in found(world, '"great beard"')] == [(1800, 2400)]
    [across] = found(world, '"dog with a beard"')
    assert (across.start_ms, across.end_ms) == (10_000 + 5 * 300, 20_000 + 2 * 300)
    assert found(world, '"great beards"') == [], "a phrase is not stemmed"
    assert found(world, '"beard great"') == []


def test_words_find_their_other_forms_and_accents_do_not_matter(world: MadeWords) -> None:
    assert "2" in uris(found(world, "dragon"))
    assert uris(found(world, "haus")) == uris(found(world, "häuser")) == ["4"]
    assert uris(found(world, "ete")) == ["5"]
    assert uris(found(world, "kun")) == ["6"]
    assert uris(found(world, "東京タワー")) == ["3"]
    assert uris(found(world, '"東京タワー"')) == ["3"]


def test_excluded_words_and_fields_are_obeyed(world: MadeWords) -> None:
    assert uris(found(world, "beard -dragons title:bearded")) == ["1"]
    assert uris(found(world, "description:beards")) == ["2"]
    assert uris(found(world, "title:dragons")) == []
    assert uris(found(world, "speech:dog -great")) == ["1"]
    assert uris(found(world, "speech:dog -walk")) == []


def test_a_title_is_found_as_the_whole_video(world: MadeWords) -> None:
    [titled] = found(world, "title:dogs")
    assert (titled.start_ms, titled.text) == (0, "Bearded men & <b>dogs</b>")
    assert [titled.text[start:end] for start, end in titled.highlights] == ["dogs"]


def test_a_word_that_occurs_nowhere_is_replaced_by_one_that_differs_in_a_letter(world: MadeWords) -> None:
    moments = found(world, "montagen")
    assert uris(moments) == ["5"]
    assert moments[0].note == "'montagen' occurs nowhere, found 'montagne'"
    assert found(world, "beard")[0].note == "", "a word that is said is never replaced"
    assert found(world, "qqqqqq") == []
    assert found(world, '"montagen"') == [], "a phrase is exact"


def test_a_swap_is_one_letter() -> None:
    assert one_letter_apart("beard", "baerd")
    assert not one_letter_apart("beard", "beard's")


@pytest.mark.parametrize(
    "phrase", ["a man with", "with a beard barked at him", "beard", "don't need", "nothing at all", "東京"]
)
def test_the_index_finds_the_same_phrases_as_reading_all_rows(world: MadeWords, phrase: str) -> None:
    def places(moments: list[Moment]) -> list[tuple[str, int, int]]:
        return [(one.uri, one.start_ms, one.end_ms) for one in moments]

    scanned = places(phrase_moments(world.data, phrase, 10))
    assert places(find_phrase(world.data, phrase, 10)) == scanned
    assert bool(scanned) == (phrase != "nothing at all")


def test_more_moments_are_found_than_fit_in_one_page(tmp_path: Path) -> None:
    made = MadeWords(tmp_path / "out")
    made.say([(video, 0, "en", "the same words") for video in range(1, 400)])
    update_words(made.root)
    assert len(found(made, "same", 350)) == 350
    assert len(find_phrase(made.data, "same words", 350)) == 350

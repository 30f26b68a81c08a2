"""Subtitles as a transcript: which track is taken, for which part of the speech, and when each of its words is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from conftest import made_unit

from reelbeam.schemas.elements import Caption, Unit
from reelbeam.transforms.caption_words import AUTO, SUBTITLES, choose_words, covered_ms, passage_of_captions, words_of

SPEECH = [(1000, 4000), (6000, 9000), (12_000, 14_000)]


def unit() -> Unit:
    """From 0 to 20 s, with a unit after it."""
    return replace(made_unit(), is_last=False)


def track(spans: Sequence[tuple[int, int]], language: str = "en", source: str = "stream 2, mov_text") -> list[Caption]:
    return [Caption(language, f"words number {at}", start, end, source) for at, (start, end) in enumerate(spans)]


def test_a_whole_track_leaves_nothing_to_whisper() -> None:
    for how in (SUBTITLES, AUTO):
        choice = choose_words(track(SPEECH), SPEECH, unit(), "en", how)
        assert choice.why == "subtitles: stream 2, mov_text covers 100% of the speech"
        assert choice.heard == (False, False, False)


def test_whisper_hears_the_utterances_without_captions() -> None:
    partly = track(SPEECH[:2])
    choice = choose_words(partly, SPEECH, unit(), "en", SUBTITLES)
    assert choice.heard == (False, False, True)
    assert choice.why == "subtitles: stream 2, mov_text covers 75% of the speech; whisper hears the rest"
    auto = choose_words(partly, SPEECH, unit(), "en", AUTO)
    assert auto.heard == (True, True, True)
    assert auto.why == "whisper: stream 2, mov_text covers 75% of the speech, less than 80%"
    assert auto.track == ()


@pytest.mark.parametrize("how", [SUBTITLES, AUTO])
def test_forced_and_foreign_tracks_are_never_taken(how: str) -> None:
    forced = track(SPEECH, source="stream 3, subrip, forced")
    beside = track(SPEECH, source="sidecar: talk.en.forced.srt")
    german = track(SPEECH, "de")
    assert choose_words([*forced, *beside], SPEECH, unit(), "en", how).why == "whisper: only forced subtitles here"
    assert choose_words(german, SPEECH, unit(), "en", how).why == "whisper: no subtitles in en, but in de"
    assert choose_words([], SPEECH, unit(), "en", how).why == "whisper: no subtitles here"
    assert all(choose_words([*forced, *german], SPEECH, unit(), "en", how).heard)


def test_of_several_tracks_the_one_in_the_language_that_covers_most_is_taken() -> None:
    some, unnamed = track(SPEECH[:1], source="stream 4, ass"), track(SPEECH, "", "sidecar: talk.srt")
    assert choose_words([*some, *unnamed], SPEECH, unit(), "en", AUTO).track[0].source == "sidecar: talk.srt"
    whole = track(SPEECH, source="stream 5, ass")
    assert choose_words([*some, *unnamed, *whole], SPEECH, unit(), "en", AUTO).track[0].source == "stream 5, ass"
    assert choose_words(track(SPEECH, "de"), SPEECH, unit(), None, SUBTITLES).track[0].language == "de"


def test_only_the_units_own_part_of_an_utterance_is_measured() -> None:
    crossing = [(18_000, 26_000)]
    assert choose_words(track([(18_000, 20_500)]), crossing, unit(), "en", AUTO).heard == (False,)


def test_captions_without_a_voice_are_words_where_they_are_asked_for_alone() -> None:
    assert choose_words(track(SPEECH), [], unit(), "en", AUTO).why == "whisper: no speech here"
    choice = choose_words(track(SPEECH), [], unit(), "en", SUBTITLES)
    assert choice.why == "subtitles: stream 2, mov_text; no speech is heard here"
    assert passage_of_captions(choice, [], unit(), "en") is not None


def test_a_unit_keeps_the_words_whose_midpoint_lies_in_it_and_not_those_that_whisper_hears() -> None:
    captions = track([*SPEECH[:2], (19_000, 21_400)])
    utterances = [*SPEECH, (19_000, 21_400)]
    choice = choose_words(captions, utterances, unit(), "en", SUBTITLES)
    passage = passage_of_captions(choice, utterances, unit(), "en")
    assert passage is not None
    said = [word.word.strip() for word in passage.words]
    assert said == ["words", "number", "0", "words", "number", "1", "words"], "the others lie in the next unit"
    assert (passage.language, passage.avg_logprob, passage.start_ms) == ("en", None, 1000)
    doubled = replace(captions[2], start_ms=12_100, end_ms=12_200)
    choice = choose_words([*captions[:2], doubled], SPEECH, unit(), "en", SUBTITLES)
    assert choice.heard == (False, False, True)
    passage = passage_of_captions(choice, SPEECH, unit(), "en")
    assert passage is not None
    assert all(word.end_ms <= 9000 for word in passage.words), "a short caption in an utterance that Whisper hears"


def test_words_are_spread_over_the_caption_by_their_letters() -> None:
    words = words_of(Caption("en", "[door slams] - Good ♪ morning (laughs)", 2000, 4200, ""))
    assert [(word.word, word.start_ms, word.end_ms) for word in words] == [
        (" Good", 2000, 2800),
        (" morning", 2800, 4200),
    ]
    assert words_of(Caption("en", "[music]", 0, 100, "")) == []


def test_captions_that_overlap_count_once() -> None:
    assert covered_ms((0, 10_000), [(0, 4000), (1000, 3000), (3500, 6000)]) == 6000

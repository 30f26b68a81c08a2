"""Words that nobody said are flagged, or dropped and told; words that somebody said are left alone."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.invented_words import heard_unit
from benchmarks.speech import BUCKET, samples_of
from benchmarks.unspoken import made, spoken
from reelbeam.models.speech import FRAME, Chunk, Span
from reelbeam.models.whisper import Transcriber, Transcript, WhisperSpec
from reelbeam.models.whisper_decoding import TimedWord
from reelbeam.schemas.elements import SAMPLE_RATE_HZ, Grid, UnitFeatures
from reelbeam.schemas.tables import RowShape
from reelbeam.transforms import unit_speech
from reelbeam.transforms.align import align
from reelbeam.transforms.quality import FLAGS, flags
from reelbeam.transforms.speech_evidence import (
    DOUBTS,
    Sound,
    Utterance,
    chunk_doubts,
    chunk_evidence,
    measure,
    utterance_evidence,
    utterances,
)
from reelbeam.transforms.stock_phrases import is_stock
from reelbeam.transforms.transcribe import log_dropped, transcribe_group

SECOND = SAMPLE_RATE_HZ
GERMAN = (
    "Der letzte Zug fährt um Viertel nach elf von Gleis neun ab. Sie legte die Briefe in die Schublade zurück und "
    "schloss sie zweimal ab."
)
CLEAR = Transcript((), "en", -0.2, 0.05, 1.3)
SAID = Utterance((0, 1), "Thank you.", -0.1, 0.9, 30.0)


@lru_cache
def model() -> Transcriber:
    return WhisperSpec().load("cpu")


def through(samples: np.ndarray) -> UnitFeatures:
    """One unit through the transcription, with Whisper tiny.en."""
    [done] = transcribe_group((heard_unit("made", samples),), model())
    return done


def stored(done: UnitFeatures) -> list[tuple[str, list[str]]]:
    """(text, flags) of each window with words."""
    table = align(done, Grid(), RowShape(10, 1, 1, 1)).table
    return [(row["text"], row["speech_flags"]) for row in table.to_pylist() if row["text"]]


def fooled(monkeypatch: pytest.MonkeyPatch, *spans: Span) -> None:
    """Voice activity that takes noise for speech; its probabilities stay."""
    monkeypatch.setattr(unit_speech, "find_speech", lambda samples, voice: list(spans))


# One evidence at a time


@pytest.mark.parametrize("text", ["Thank you.", " Thanks for watching!", "Thank you. Thank you. Bye.", "♪ [Music] ♪"])
def test_a_stock_phrase_is_known_however_it_is_written(text: str) -> None:
    assert is_stock(text)


@pytest.mark.parametrize("text", ["", "...", "Thank you for the bread.", "Thank you. It is my ship."])
def test_a_sentence_with_more_in_it_is_no_stock_phrase(text: str) -> None:
    assert not is_stock(text)


@pytest.mark.parametrize(
    ("utterance", "doubt"),
    [
        (replace(SAID, sureness=-0.81), "unsure"),
        (replace(SAID, sureness=-0.5), "stock_phrase"),
        (replace(SAID, sureness=-0.5, level_db=2.9), "at_floor"),
        (replace(SAID, sureness=-0.5, voice=0.34), "faint_voice"),
        (replace(SAID, sureness=-0.5, text="My ship."), "echo"),
    ],
)
def test_each_evidence_counts_against_doubted_words_alone(utterance: Utterance, doubt: str) -> None:
    assert doubt in utterance_evidence(utterance, CLEAR, "my ship")
    assert utterance_evidence(replace(utterance, sureness=-0.1), CLEAR, "my ship") == set()


def test_a_sure_thank_you_is_doubted_where_whisper_hears_no_speech() -> None:
    assert utterance_evidence(SAID, replace(CLEAR, no_speech_prob=0.5), "") == {"stock_phrase"}


def test_one_odd_word_alone_has_to_be_odder() -> None:
    one = replace(SAID, words=(0,), text="Five", sureness=-0.9)
    assert utterance_evidence(one, CLEAR, "") == set()
    assert utterance_evidence(replace(one, sureness=-1.3), CLEAR, "") == {"unsure"}


def test_few_words_for_much_voice_are_sparse() -> None:
    four = replace(CLEAR, words=(TimedWord(" a", 0, 1, 0.9),) * 4)
    assert chunk_evidence(four, 9.0, False) == {"sparse"}
    assert chunk_evidence(four, 7.9, False) == set()


@pytest.mark.parametrize("failed", [{"compression_ratio": 2.5}, {"avg_logprob": -0.9}])
def test_clear_voice_without_a_fitting_transcript_tells_of_another_language(failed: dict[str, float]) -> None:
    bad = replace(CLEAR, words=(TimedWord(" a", 0, 1, 0.9),) * 9, **failed)
    assert chunk_evidence(bad, 5.0, knows_language=False) == {"unlikely_language"}
    assert chunk_evidence(bad, 5.0, knows_language=True) == set()
    assert chunk_evidence(bad, 1.0, knows_language=False) == set()


def test_words_are_judged_by_the_sound_of_their_own_utterance() -> None:
    frames = 10 * SECOND // FRAME
    voice, level = np.zeros(frames, np.float32), np.full(frames, -60, np.float32)
    voice[: frames // 2], level[: frames // 2] = 0.9, -20
    words = (TimedWord(" Yes", 0.5, 1.0, 0.9), TimedWord(" no", 1.0, 1.5, 0.9), TimedWord(" you", 4.0, 4.5, 0.01))
    chunk = Chunk(((0, 3 * SECOND), (6 * SECOND, 9 * SECOND)))
    first, second = utterances(words, chunk, Sound(voice, level, -60.0))
    assert (first.words, first.text, round(first.voice, 2), first.level_db) == ((0, 1), "Yes no", 0.9, 40)
    assert (second.words, second.text, second.voice, second.level_db) == ((2,), "you", 0, 0)
    doubts = chunk_doubts(replace(CLEAR, words=words), chunk, Sound(voice, level, -60.0), False)
    assert doubts.names[0] == ()
    assert doubts.dropped == [False, False, True]
    assert set(doubts.names[2]) == {"unsure", "stock_phrase", "at_floor", "faint_voice"}


def test_the_floor_is_the_level_where_there_is_no_voice() -> None:
    samples = np.concatenate([np.full(FRAME * 90, 0.1, np.float32), np.full(FRAME * 20, 0.01, np.float32)])
    voice = np.repeat([0.9, 0.01], [90, 20]).astype(np.float32)
    assert measure(samples, voice).floor_db == pytest.approx(-40, abs=0.1)
    assert measure(samples[:-5], voice).level_db.shape == (110,)


def test_doubts_are_flags_of_the_window() -> None:
    assert list(FLAGS)[-len(DOUBTS) :] == list(DOUBTS)
    assert flags(2, 0.5, 0, 12, -0.2, 0.1, 1.2, {"echo", "unsure"}) == ["unsure", "echo"]
    assert flags(2, 0.5, 0, 12, -0.2, 0.1, 1.2) == []


# The whole path, with Whisper tiny.en


def test_words_that_whisper_hears_in_a_kitchen_are_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    for seed in range(6):  # which of them fool Whisper differs from one processor to another
        fooled(monkeypatch, (0, 12 * SECOND) if seed else (SECOND, 3 * SECOND))
        heard += stored(through(made("kitchen", 12, seed)))
    assert heard, "Whisper has invented nothing: other seeds are needed"
    assert all(set(raised) & set(DOUBTS) for _, raised in heard)


def test_words_without_voice_or_sound_are_dropped_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fooled(monkeypatch, (SECOND, 3 * SECOND))
    done = through(made("rain", 12, 1))
    assert done.passages is not None
    assert ["".join(word.word for word in passage.dropped) for passage in done.passages] == [" Thank you very much."]
    assert stored(done) == []
    with caplog.at_level(logging.INFO, "reelbeam"):
        log_dropped((done,))
    assert "dropped 'Thank you very much.'" in caplog.text


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_a_crowd_gives_no_word_without_a_flag() -> None:
    windows = stored(through(made("babble", 6, 2000)))
    assert windows
    assert all(raised for _, raised in windows)


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_german_through_an_english_model_is_flagged_as_an_unlikely_language() -> None:
    windows = stored(through(spoken(GERMAN, "de").astype(np.float32)))
    assert windows
    assert all("unlikely_language" in raised for _, raised in windows)


@pytest.mark.parametrize("name", ["radio_story.m4a", "night.mp4", "party_pause.mp4"])
def test_words_of_the_sample_bucket_are_neither_flagged_nor_dropped(name: str) -> None:
    done = through(samples_of(str(BUCKET / name)))
    assert len(stored(done)) >= 2
    assert [raised for _, raised in stored(done) if raised] == []
    assert not any(passage.dropped for passage in done.passages or ())


@pytest.mark.parametrize(
    "name", ["openai-whisper/jfk.flac", "azure-speech-sdk/katiesteve.wav", "nemo-curator/audio_1.opus"]
)
def test_words_of_real_recordings_are_neither_flagged_nor_dropped(name: str, media: Path) -> None:
    done = through(samples_of(str(media / name)))
    assert stored(done)
    assert [raised for _, raised in stored(done) if raised] == []
    assert not any(passage.dropped for passage in done.passages or ())

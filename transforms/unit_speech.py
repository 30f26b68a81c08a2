"""The speech in a unit's sound: utterances on the presentation clock, and the chunks that a speech model hears."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..models.speech import Chunk, find_speech, is_audible, pack_chunks, voice_probabilities
from ..schemas.elements import SAMPLE_RATE_HZ, Group, UnitFeatures


class UnitSpeech(NamedTuple):
    """The speech found in a unit."""

    spans: list[tuple[int, int]]
    """Utterances that overlap the unit, as [start, end) in samples of its decoded sound."""
    chunks: list[Chunk]
    """Chunks that the utterances are packed into for the model."""
    voice: np.ndarray
    """float32 [f]: voice probabilities of the unit's samples; empty when nothing is audible."""


def unit_speech(features: UnitFeatures) -> UnitSpeech:
    """Finds the speech of one unit."""
    decoded, voice = features.decoded, np.zeros(0, np.float32)
    if decoded is None or decoded.sound_end_ms <= decoded.sound_start_ms or not is_audible(decoded.samples):
        return UnitSpeech([], [], voice)
    voice = voice_probabilities(decoded.samples)
    start, end = (
        sample_at(at_ms, decoded.samples_start_ms) for at_ms in (features.unit.start_ms, decoded.sound_end_ms)
    )
    spans = [span for span in find_speech(decoded.samples, voice) if span[1] > start and span[0] < end]
    return UnitSpeech(spans, pack_chunks(spans), voice)


def with_spans(features: UnitFeatures, spans: list[tuple[int, int]]) -> UnitFeatures:
    """Sets a unit's speech spans, converting them from samples to ms on the presentation clock."""
    if features.decoded is None:
        return features
    start_ms = features.decoded.samples_start_ms
    return replace(
        features, speech_spans_ms=tuple((ms_of(start, start_ms), ms_of(end, start_ms)) for start, end in spans)
    )


def find_speech_spans(group: Group) -> Group:
    """Finds the speech spans of each unit, without transcribing them."""
    return tuple(with_spans(features, unit_speech(features)[0]) for features in group)


def sample_at(at_ms: int, samples_start_ms: int) -> int:
    """The sample at a time on the presentation clock."""
    return (at_ms - samples_start_ms) * SAMPLE_RATE_HZ // 1000


def ms_of(sample: int, samples_start_ms: int) -> int:
    """The time of a sample, rounded down to whole milliseconds."""
    return samples_start_ms + sample * 1000 // SAMPLE_RATE_HZ

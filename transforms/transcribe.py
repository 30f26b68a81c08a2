"""TranscribeSpeech: the words of each unit, with their times.

In:  groups of units with decoded samples float32 [m] at 16 kHz, with context on both sides of the unit.
Out: the same with `passages` (words on the presentation clock), `speech_spans_ms`, and `speech_states` where they are stored.
Bad: no input fails here. Silence, music and noise give no words. Words that were probably not said carry doubts. Words where
     there is neither voice nor sound are dropped, counted (`dropped_words`) and logged.

A sentence that crosses a unit boundary is transcribed whole by both units. Each unit keeps the words whose midpoint lies in
it, so every word belongs to exactly one unit.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple, Protocol

import apache_beam as beam
import numpy as np

from ..models.loaded import loaded, preload
from ..models.speech import Chunk, find_speech, is_audible, pack_chunks, voice_probabilities
from ..models.whisper import Transcript, WhisperSpec
from ..schemas.elements import SAMPLE_RATE_HZ, Grid, Group, Passage, Unit, UnitFeatures, Word
from .metrics import StageMetrics
from .pool_speech import pool_weights, window_edges
from .speech_evidence import Doubts, chunk_doubts, measure

log = logging.getLogger("reelbeam")


class Recogniser(Protocol):
    """The speech model's interface that this stage uses."""

    def transcribe(
        self,
        chunks: Sequence[np.ndarray],
        languages: Sequence[str | None] | None = None,
        pools: Sequence[np.ndarray] | None = None,
    ) -> list[Transcript]: ...

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[tuple[str, float]]: ...

    @property
    def must_detect(self) -> bool: ...


LISTENED = 3
"""Number of chunks, the longest ones of a video in a group, that its language is detected from."""


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
        _sample_at(at_ms, decoded.samples_start_ms) for at_ms in (features.unit.start_ms, decoded.sound_end_ms)
    )
    spans = [span for span in find_speech(decoded.samples, voice) if span[1] > start and span[0] < end]
    return UnitSpeech(spans, pack_chunks(spans), voice)


def transcribe_group(group: Group, recogniser: Recogniser, grid: Grid | None = None) -> Group:
    """Transcribes all chunks of all units of a group in one call. With a grid, also pools encoder states for each window."""
    found = [unit_speech(features) for features in group]
    chunks = [(features, chunk) for features, speech in zip(group, found, strict=True) for chunk in speech.chunks]
    cuts = [chunk.cut(features.decoded.samples) for features, chunk in chunks if features.decoded]
    spoken_in = (
        video_languages([features.unit.video.video_id for features, _ in chunks], cuts, recogniser)
        if recogniser.must_detect
        else None
    )
    pools = [weights_of(features, chunk, grid) for features, chunk in chunks] if grid else None
    heard = recogniser.transcribe(cuts, spoken_in, pools)
    spoken = {id(features): with_spans(features, speech.spans) for features, speech in zip(group, found, strict=True)}
    voices = {id(features): speech.voice for features, speech in zip(group, found, strict=True)}
    judged = judge(chunks, heard, voices, knows_language=recogniser.must_detect)
    passages: dict[int, list[Passage]] = {id(features): [] for features in group}
    states: dict[int, np.ndarray] = {}
    for (features, chunk), transcript, doubts in zip(chunks, heard, judged, strict=True):
        assert features.decoded is not None
        if transcript.pooled is not None:
            states[id(features)] = states.get(id(features), 0) + transcript.pooled
        passages[id(features)].append(
            passage_of(transcript, chunk, features.unit, features.decoded.samples_start_ms, doubts)
        )
    return tuple(
        features
        if features.decoded is None
        else replace(
            spoken[id(features)], passages=tuple(passages[id(features)]), speech_states=states.get(id(features))
        )
        for features in group
    )


def judge(
    chunks: Sequence[tuple[UnitFeatures, Chunk]],
    heard: Sequence[Transcript],
    voices: Mapping[int, np.ndarray],
    knows_language: bool,
) -> list[Doubts]:
    """The doubts about each chunk's words. Chunks of a unit are in order. `voices` maps id(unit features) to voice probabilities."""
    judged: list[Doubts] = []
    for unit, same in groupby(zip(chunks, heard, strict=True), key=lambda pair: id(pair[0][0])):
        heard_there = list(same)
        decoded = heard_there[0][0][0].decoded
        assert decoded is not None
        sound = measure(decoded.samples, voices[unit])
        before = ""
        for (_, chunk), transcript in heard_there:
            judged.append(chunk_doubts(transcript, chunk, sound, knows_language, before))
            before = judged[-1].last_text
    return judged


def weights_of(features: UnitFeatures, chunk: Chunk, grid: Grid) -> np.ndarray:
    """Weights float32 [windows, states] of a chunk's encoder states for the windows of its unit."""
    assert features.decoded is not None
    return pool_weights(chunk, window_edges(features.unit, features.decoded, grid))


def video_languages(video_ids: Sequence[str], chunks: Sequence[np.ndarray], recogniser: Recogniser) -> list[str]:
    """The language of each chunk's video: the one with the highest probability, summed over its LISTENED longest chunks."""
    order = sorted(range(len(chunks)), key=lambda at: (video_ids[at], -len(chunks[at]), at))
    judged = [at for _, same in groupby(order, key=lambda at: video_ids[at]) for at in list(same)[:LISTENED]]
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for at, (language, probability) in zip(
        judged, recogniser.detect_languages([chunks[at] for at in judged]), strict=True
    ):
        sums[video_ids[at]][language] += probability
    return [max(sorted(sums[video_id]), key=lambda name: sums[video_id][name]) for video_id in video_ids]


def with_spans(features: UnitFeatures, spans: list[tuple[int, int]]) -> UnitFeatures:
    """Sets a unit's speech spans, converting them from samples to ms on the presentation clock."""
    if features.decoded is None:
        return features
    start_ms = features.decoded.samples_start_ms
    return replace(
        features, speech_spans_ms=tuple((_ms_of(start, start_ms), _ms_of(end, start_ms)) for start, end in spans)
    )


def find_speech_spans(group: Group) -> Group:
    """Finds the speech spans of each unit, without transcribing them."""
    return tuple(with_spans(features, unit_speech(features)[0]) for features in group)


def passage_of(transcript: Transcript, chunk: Chunk, unit: Unit, samples_start_ms: int, doubts: Doubts) -> Passage:
    """Converts a transcript to the presentation clock. Keeps the words whose midpoint lies in the unit, and drops invented ones."""
    words: list[Word] = []
    dropped: list[Word] = []
    for said, names, is_nothing in zip(transcript.words, doubts.names, doubts.dropped, strict=True):
        start_s, end_s = chunk.source_s(said.start_s, said.end_s)
        word = Word(
            said.word,
            samples_start_ms + round(start_s * 1000),
            samples_start_ms + round(end_s * 1000),
            said.probability,
            names,
        )
        middle_ms = (word.start_ms + word.end_ms) // 2
        if unit.start_ms <= middle_ms and (unit.is_last or middle_ms < unit.end_ms):
            (dropped if is_nothing else words).append(word)
    start_ms, end_ms = (_ms_of(at, samples_start_ms) for at in (chunk.spans[0][0], chunk.spans[-1][1]))
    return Passage(
        start_ms,
        end_ms,
        tuple(words),
        transcript.language,
        transcript.avg_logprob,
        transcript.no_speech_prob,
        transcript.compression_ratio,
        tuple(dropped),
    )


def log_dropped(group: Group) -> None:
    """Logs the dropped words, one line per passage."""
    for features in group:
        for passage in features.passages or ():
            if passage.dropped:
                log.info(
                    "%s at %.1f s: dropped %r: no voice there, and no more sound than the background",
                    features.unit.video.uri,
                    passage.dropped[0].start_ms / 1000,
                    "".join(word.word for word in passage.dropped).strip(),
                )


def _sample_at(at_ms: int, samples_start_ms: int) -> int:
    return (at_ms - samples_start_ms) * SAMPLE_RATE_HZ // 1000


def _ms_of(sample: int, samples_start_ms: int) -> int:
    return samples_start_ms + sample * 1000 // SAMPLE_RATE_HZ


class _TranscribeSpeech(beam.DoFn):
    def __init__(self, spec: WhisperSpec, device: str, grid: Grid):
        self.spec, self.device = spec, device
        self.grid = grid if spec.audio_embedding else None

    def setup(self) -> None:
        self.metrics = StageMetrics("transcribe")
        preload(self.spec, self.device)

    def process(self, group: Group) -> Iterator[Group]:
        recogniser = loaded(self.spec, self.device)
        with self.metrics.busy():
            spoken = transcribe_group(group, recogniser, self.grid)
        self.metrics.add(
            words=sum(len(passage.words) for features in spoken for passage in features.passages or ()),
            dropped_words=sum(len(passage.dropped) for features in spoken for passage in features.passages or ()),
            doubted_words=sum(
                bool(word.doubts)
                for features in spoken
                for passage in features.passages or ()
                for word in passage.words
            ),
            speech_ms=sum(end - start for features in spoken for start, end in features.speech_spans_ms),
        )
        log_dropped(spoken)
        self.metrics.flush()
        yield spoken


class TranscribeSpeech(beam.PTransform):
    """Groups with samples -> groups with words."""

    def __init__(self, spec: WhisperSpec, grid: Grid, device: str = "auto"):
        super().__init__()
        self.do = _TranscribeSpeech(spec, device, grid)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)

"""TranscribeSpeech: the words of each unit, with their times.

In:  groups of units with decoded samples float32 [m] at 16 kHz, with context on both sides of the unit.
Out: the same with `passages` (words on the presentation clock), `speech_spans_ms`, and `speech_states` where they are stored.
     With `speech` subtitles or auto, captions give the words where they cover the speech (caption_words.py), and Whisper
     hears the rest; `speech_source` says so.
Bad: no input fails here. Silence, music and noise give no words. Words that were probably not said carry doubts. Words where
     there is neither voice nor sound are dropped, counted (`dropped_words`) and logged.

A sentence that crosses a unit boundary is transcribed whole by both units. Each unit keeps the words whose midpoint lies in
it, so every word belongs to exactly one unit.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import ClassVar, Protocol

import numpy as np

from ..models.loaded import loaded, preload
from ..models.speech import Chunk, pack_chunks
from ..models.whisper import Transcript, WhisperSpec
from ..schemas.elements import Grid, Group, Passage, Unit, UnitFeatures, Word
from .caption_words import AUTO, WHISPER, choose_words, passage_of_captions, tracks_of
from .metrics import StageMetrics
from .pool_speech import pool_weights, window_edges
from .speech_evidence import Doubts, chunk_doubts, measure
from .unit_speech import UnitSpeech, ms_of, unit_speech, with_spans

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


def transcribe_group(
    group: Group, recogniser: Recogniser, grid: Grid | None = None, how: str = WHISPER, wanted: str | None = None
) -> Group:
    """Transcribes all chunks of all units of a group in one call. With a grid, also pools encoder states for each window.

    `how` says where words come from, `wanted` in which language subtitles are taken; None: any, or for auto the one spoken.
    """
    found = [unit_speech(features) for features in group]
    if how != WHISPER:
        group, found = with_captions(group, found, recogniser, how, wanted)
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
    passages: dict[int, list[Passage]] = {id(features): [*(features.passages or ())] for features in group}
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


def with_captions(
    group: Group, found: Sequence[UnitSpeech], recogniser: Recogniser, how: str, wanted: str | None
) -> tuple[Group, list[UnitSpeech]]:
    """The group with the words of captions where these are chosen, and the speech that is left to Whisper."""
    languages = {} if wanted or how != AUTO else spoken_languages(group, found, recogniser)
    chosen, left = [], []
    for features, speech in zip(group, found, strict=True):
        unit = features.unit
        language = wanted or languages.get(unit.video.video_id)
        spoken = with_spans(features, speech.spans).speech_spans_ms
        choice = choose_words(unit.probe.captions, spoken, unit, language, how)
        words = passage_of_captions(choice, spoken, unit, language)
        chosen.append(replace(features, passages=(words,) if words else None, speech_source=choice.why))
        heard = [span for span, hear in zip(speech.spans, choice.heard, strict=True) if hear]
        left.append(speech._replace(chunks=pack_chunks(heard)) if len(heard) < len(speech.spans) else speech)
    return tuple(chosen), left


def spoken_languages(group: Group, found: Sequence[UnitSpeech], recogniser: Recogniser) -> dict[str, str]:
    """The language spoken in each video that has captions to choose from, by its id."""
    chunks = [
        (features.unit.video.video_id, chunk.cut(features.decoded.samples))
        for features, speech in zip(group, found, strict=True)
        for chunk in speech.chunks
        if features.decoded and tracks_of(features.unit.probe.captions)
    ]
    videos = [video_id for video_id, _ in chunks]
    return dict(zip(videos, video_languages(videos, [cut for _, cut in chunks], recogniser), strict=True))


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
    start_ms, end_ms = (ms_of(at, samples_start_ms) for at in (chunk.spans[0][0], chunk.spans[-1][1]))
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


class TranscribeSpeech:
    """Fills the words, for RunModels."""

    name: ClassVar[str] = "transcribe"
    fills: ClassVar[tuple[str, ...]] = ("passages", "speech_spans_ms", "speech_states", "speech_source")

    def __init__(self, spec: WhisperSpec, grid: Grid, device: str = "auto"):
        self.spec, self.device = spec, device
        self.grid = grid if spec.audio_embedding else None
        self.wanted = "en" if spec.task == "translate" else spec.language

    def setup(self) -> None:
        preload(self.spec, self.device)

    def run(self, group: Group, metrics: StageMetrics) -> Group:
        recogniser = loaded(self.spec, self.device)
        with metrics.busy(flush=False):
            wanted = self.wanted or (None if recogniser.must_detect else "en")  # an English-only model
            spoken = transcribe_group(group, recogniser, self.grid, self.spec.speech, wanted)
        passages = [passage for features in spoken for passage in features.passages or ()]
        metrics.add(
            words=sum(len(passage.words) for passage in passages),
            dropped_words=sum(len(passage.dropped) for passage in passages),
            doubted_words=sum(bool(word.doubts) for passage in passages for word in passage.words),
            speech_ms=sum(end - start for features in spoken for start, end in features.speech_spans_ms),
            heard_ms=sum(
                passage.end_ms - passage.start_ms
                for passage in passages
                if passage.avg_logprob is not None  # words of captions are not heard
            ),
        )
        log_dropped(spoken)
        return spoken

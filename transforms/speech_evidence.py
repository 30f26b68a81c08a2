"""Finds words that Whisper invented, from the sound under them, the words around them and the model's probabilities.

In:  a chunk's transcript; voice probabilities float32 [f] and sound levels float32 [f] of its unit, one per 32 ms.
Out: for each word its doubts (names in `DOUBTS`), and whether to drop it.

Words are judged by utterance, the words between two pauses of a second. A single odd word in a clear sentence was misheard,
not invented. Pure functions.

Source: the thresholds were chosen on synthetic sounds and real recordings; benchmarks/invented_words.py reports results on
other ones. Koenecke et al., "Careless Whisper" (2024), describe the fault: invented text where the voice pauses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from ..models.speech import FRAME, PAD, TALK_GAP, VOICE_OFF, VOICE_ON, Chunk
from ..models.whisper import MAX_COMPRESSION_RATIO, Transcript
from ..models.whisper_decoding import TimedWord
from ..schemas.elements import SAMPLE_RATE_HZ
from .stock_phrases import is_stock

MIN_LEVEL_DB = 3.0
"""The loudest 5% of a spoken utterance are at least this far above the background."""
MIN_SURENESS = -0.8
"""Least mean log probability of a spoken utterance's words. In eight real recordings and the sample bucket it is -0.7 or more."""
MIN_SURENESS_ALONE = -1.2
"""The same for an utterance of one word, whose probability varies more."""
WELL_SURE = -0.45
"""Utterances with a higher mean log probability are trusted, whatever the other evidence."""
MAX_NO_SPEECH_STOCK = 0.4
"""A stock phrase with a higher no-speech probability is doubted."""
SPARSE_VOICE_S = 8.0
"""Seconds of voice from which the number of words is judged."""
MIN_WORDS_PER_S = 0.5
"""Fewer words per second of voice cannot be a full transcript: slow speech has 1.5."""
MAX_ECHO_WORDS = 8
"""Longest utterance, in words, that counts as an echo when it is repeated after a pause."""
LANGUAGE_VOICE_S = 2.0
"""Seconds of clear voice from which a failed transcript suggests another language."""

DOUBTS = {
    "unsure": f"words of an utterance whose mean log probability is under {MIN_SURENESS}",
    "stock_phrase": "only a phrase that Whisper invents, such as 'Thank you.', and little else that supports it",
    "at_floor": f"words less than {MIN_LEVEL_DB:g} dB above the background",
    "faint_voice": f"words over which the mean voice probability is under {VOICE_OFF}",
    "echo": "the same short utterance again after a pause, and not a sure one",
    "sparse": f"under {MIN_WORDS_PER_S:g} words per second of voice",
    "unlikely_language": "clear voice, but a loop or doubted words: perhaps not the language that the model was told",
}
"""Meaning of each doubt. Doubts become flags of a window, see transforms/quality.py."""


@dataclass(frozen=True)
class Sound:
    """Voice and sound level of a unit, per frame of 512 samples."""

    voice: np.ndarray
    """float32 [f]: voice probabilities."""
    level_db: np.ndarray
    """float32 [f]: mean square in dBFS."""
    floor_db: float
    """Level of the background in dBFS: the median of frames without voice."""


@dataclass(frozen=True)
class Utterance:
    """Consecutive words of a chunk without a long pause, and the evidence from their sound."""

    words: tuple[int, ...]
    """Positions of the words in the transcript."""
    text: str
    sureness: float
    """Mean log probability of the words, in nats."""
    voice: float
    """Mean voice probability from the start of the first word to the end of the last one."""
    level_db: float
    """95th percentile of the sound level in that time, in dB above the background."""

    @property
    def is_unsure(self) -> bool:
        return self.sureness < (MIN_SURENESS if len(self.words) > 1 else MIN_SURENESS_ALONE)

    @property
    def is_nothing(self) -> bool:
        """Whether nobody said this: no voice, no sound above the background, and low probability."""
        return self.voice < VOICE_OFF and self.level_db < MIN_LEVEL_DB and self.is_unsure


class Doubts(NamedTuple):
    """Doubts about the words of one chunk."""

    names: list[tuple[str, ...]]
    """Doubts of each word, in the order of DOUBTS."""
    dropped: list[bool]
    """For each word, whether it was certainly not said."""
    last_text: str
    """Text of the last utterance, to compare the next chunk's first utterance with."""


def measure(samples: np.ndarray, voice: np.ndarray) -> Sound:
    """Measures samples float32 [m] with voice probabilities float32 [ceil(m / 512)].

    >>> loud, quiet = np.full(512 * 20, 0.1, np.float32), np.full(512 * 20, 0.001, np.float32)
    >>> sound = measure(np.concatenate([loud, quiet]), np.repeat([0.9, 0.0], 20))
    >>> round(float(sound.level_db[0])), round(sound.floor_db)
    (-20, -60)
    """
    padded = np.zeros(len(voice) * FRAME, np.float32)
    padded[: len(samples)] = samples
    power = np.square(padded.reshape(-1, FRAME)).mean(axis=1)
    level_db = 10 * np.log10(power + 1e-12)
    quiet = level_db[voice < 0.1]
    floor_db = float(np.median(quiet)) if len(quiet) >= 10 else float(np.percentile(level_db, 10))
    return Sound(voice, level_db, floor_db)


def talks(chunk: Chunk) -> list[int]:
    """The talk number of each span of a chunk. Spans with less than a second of pause between them form one talk.

    >>> talks(Chunk(((0, 16_000), (16_000, 32_000), (48_000, 64_000))))
    [0, 0, 1]
    """
    pauses = [after[0] - before[1] > TALK_GAP - 2 * PAD for before, after in pairwise(chunk.spans)]
    return [0, *accumulate(int(pause) for pause in pauses)]


def utterances(words: Sequence[TimedWord], chunk: Chunk, sound: Sound) -> list[Utterance]:
    """Groups the words of a chunk by talk, each group with the evidence from its sound."""
    number = talks(chunk)
    together: dict[int, list[int]] = {}
    times = [chunk.source_s(word.start_s, word.end_s) for word in words]
    for place, (start_s, end_s) in enumerate(times):
        middle = (start_s + end_s) / 2 * SAMPLE_RATE_HZ
        span = max((at for at, (first, _) in enumerate(chunk.spans) if first <= middle), default=0)
        together.setdefault(number[span], []).append(place)
    return [
        _utterance(words, places, times[places[0]][0], max(times[place][1] for place in places), sound)
        for places in together.values()
    ]


def _utterance(
    words: Sequence[TimedWord], places: Sequence[int], start_s: float, end_s: float, sound: Sound
) -> Utterance:
    first = min(int(start_s * SAMPLE_RATE_HZ / FRAME), len(sound.voice) - 1)
    last = max(first + 1, math.ceil(end_s * SAMPLE_RATE_HZ / FRAME))
    return Utterance(
        tuple(places),
        "".join(words[place].word for place in places).strip(),
        float(np.mean([math.log(max(words[place].probability, 1e-6)) for place in places])),
        float(sound.voice[first:last].mean()),
        float(np.percentile(sound.level_db[first:last], 95)) - sound.floor_db,
    )


def voiced_s(chunk: Chunk, sound: Sound) -> float:
    """Seconds of voice in a chunk."""
    frames = sum(int((sound.voice[a // FRAME : -(-b // FRAME)] >= VOICE_ON).sum()) for a, b in chunk.spans)
    return frames * FRAME / SAMPLE_RATE_HZ


def is_same(text: str, other: str) -> bool:
    """Whether two utterances have the same words, ignoring case and punctuation.

    >>> is_same("Thank you.", "thank you"), is_same("", "")
    (True, False)
    """
    one, two = (["".join(filter(str.isalnum, word)) for word in said.lower().split()] for said in (text, other))
    return bool(one) and one == two


def chunk_doubts(transcript: Transcript, chunk: Chunk, sound: Sound, knows_language: bool, before: str = "") -> Doubts:
    """The doubts about each word of a transcript.

    `knows_language` is True when the model detected the language itself. `before` is the text of the previous utterance.
    """
    said = utterances(transcript.words, chunk, sound)
    spoken_s = voiced_s(chunk, sound)
    overall = chunk_evidence(transcript, spoken_s, knows_language)
    doubts: list[tuple[str, ...]] = [()] * len(transcript.words)
    dropped = [False] * len(transcript.words)
    for utterance in said:
        found = overall | utterance_evidence(utterance, transcript, before)
        before = utterance.text
        for place in utterance.words:
            doubts[place] = tuple(name for name in DOUBTS if name in found)
            dropped[place] = utterance.is_nothing
    return Doubts(doubts, dropped, before)


def chunk_evidence(transcript: Transcript, spoken_s: float, knows_language: bool) -> set[str]:
    """Doubts about all words of a chunk that has `spoken_s` seconds of voice."""
    words = len(transcript.words)
    found = set()
    if spoken_s >= SPARSE_VOICE_S and words < MIN_WORDS_PER_S * spoken_s:
        found.add("sparse")
    failed = transcript.compression_ratio > MAX_COMPRESSION_RATIO or transcript.avg_logprob < MIN_SURENESS
    if failed and spoken_s >= LANGUAGE_VOICE_S and not knows_language:
        found.add("unlikely_language")
    return found


def utterance_evidence(utterance: Utterance, transcript: Transcript, before: str) -> set[str]:
    """Doubts about the words of one utterance. `before` is the text of the previous one."""
    doubted = utterance.sureness < WELL_SURE
    found = set()
    if utterance.is_unsure:
        found.add("unsure")
    if is_stock(utterance.text) and (doubted or transcript.no_speech_prob > MAX_NO_SPEECH_STOCK):
        found.add("stock_phrase")
    if doubted and utterance.level_db < MIN_LEVEL_DB:
        found.add("at_floor")
    if doubted and utterance.voice < VOICE_OFF:
        found.add("faint_voice")
    if doubted and len(utterance.words) <= MAX_ECHO_WORDS and is_same(utterance.text, before):
        found.add("echo")
    return found

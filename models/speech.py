"""Finds speech and packs it into chunks for Whisper.

    samples --silero--> voice probabilities --thresholds--> utterances --pack--> chunks of at most 30 s

Whisper always processes 30 s, so a half-empty chunk costs as much as a full one. Therefore the utterances of one unit are
joined, without the pauses, into chunks of up to 30 s. `Chunk` maps its own clock back to the unit's, in whole samples. Cuts are
made in pauses; an utterance without pauses is cut at its quietest frame.

Source: silero-vad v6 (https://github.com/snakers4/silero-vad), as shipped inside faster-whisper; its thresholds are
those of faster-whisper 1.2.1, `vad.py` and `BatchedInferencePipeline`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ

Span = tuple[int, int]
"""Half-open, in samples."""

FRAME = 512
"""Samples per voice probability: 32 ms, the step that silero was trained with."""
CONTEXT = 64
"""Samples before a frame that silero gets as context."""
VOICE_ON, VOICE_OFF = 0.5, 0.35
"""Speech starts at the first probability and ends below the second (silero's defaults: threshold, threshold - 0.15)."""
MIN_PAUSE = 160 * SAMPLE_RATE_HZ // 1000
"""A shorter pause does not end an utterance (faster-whisper's batched pipeline: 160 ms)."""
MIN_TALK = 250 * SAMPLE_RATE_HZ // 1000
"""A talk shorter than this is not speech (silero's default: 250 ms)."""
MIN_PEAK = 0.7
"""Least peak probability of a talk: words reach 0.9; noise, hum and chords that exceed VOICE_ON do not."""
TALK_GAP = SAMPLE_RATE_HZ
"""Utterances less than this apart form one talk, kept or dropped as a whole: next to clear words, a weak one is a word too."""
PAD = 400 * SAMPLE_RATE_HZ // 1000
"""Padding kept around an utterance, so that soft first and last sounds are not cut off (faster-whisper: 400 ms)."""
MAX_UTTERANCE = 28 * SAMPLE_RATE_HZ
"""Longest utterance, padding included: a little less than a chunk."""
CUT_RANGE = 10 * SAMPLE_RATE_HZ
"""An utterance without pauses is cut at the quietest frame of the last 10 s that fit."""
MAX_CHUNK_S = 30.0
"""Length of Whisper's input."""
QUIET = 1e-3
"""Sound that never exceeds -60 dBFS contains no speech, so silero is not run on it."""


@dataclass(frozen=True)
class Chunk:
    """Utterances that are transcribed together, with their original positions.

    >>> chunk = Chunk(((16_000, 32_000), (64_000, 80_000)))
    >>> chunk.length, chunk.source_of(0), chunk.source_of(15_999), chunk.source_of(16_000)
    (32000, 16000, 31999, 64000)
    >>> chunk.source_s(1.25, 1.5)
    (4.25, 4.5)
    """

    spans: tuple[Span, ...]
    """Sorted and disjoint spans of the unit's samples."""

    @property
    def length(self) -> int:
        """Number of samples in the chunk."""
        return sum(end - start for start, end in self.spans)

    def cut(self, samples: np.ndarray) -> np.ndarray:
        """float32 [length]: the chunk's samples, cut out of the unit's samples."""
        return np.concatenate([samples[start:end] for start, end in self.spans])

    def source_of(self, sample: int) -> int:
        """Position in the unit of a sample of the chunk. Positions outside the chunk map to its ends."""
        ends = list(accumulate(end - start for start, end in self.spans))
        piece = min(bisect_right(ends, sample), len(ends) - 1)
        return self.spans[piece][1] - ends[piece] + sample

    def source_s(self, start_s: float, end_s: float) -> tuple[float, float]:
        """A word's times on the unit's clock. Both lie in the utterance that contains its midpoint, so no word spans a pause."""
        ends = list(accumulate(end - start for start, end in self.spans))
        piece = min(bisect_right(ends, int((start_s + end_s) / 2 * SAMPLE_RATE_HZ)), len(ends) - 1)
        first, last = self.spans[piece]
        shift = (last - ends[piece]) / SAMPLE_RATE_HZ
        low, high = first / SAMPLE_RATE_HZ, last / SAMPLE_RATE_HZ
        return min(max(start_s + shift, low), high), min(max(end_s + shift, low), high)


def find_speech(samples: np.ndarray, voice: np.ndarray | None = None) -> list[Span]:
    """Finds speech in samples float32 [m] at 16 kHz: sorted, disjoint spans of at most 28 s, with 400 ms of padding.

    `voice` are the voice probabilities, if the caller has them already.
    """
    if not is_audible(samples):
        return []
    utterances = voiced_spans(voice_probabilities(samples) if voice is None else voice, len(samples))
    energy = frame_energy(samples)
    pieces = [piece for span in utterances for piece in split_at_quiet(span, energy)]
    return pad_spans(pieces, len(samples))


def is_audible(samples: np.ndarray) -> bool:
    """Whether samples float32 [m] are loud enough anywhere to contain speech."""
    return bool(samples.size) and float(np.abs(samples).max()) >= QUIET


def voice_probabilities(samples: np.ndarray) -> np.ndarray:
    """float32 [ceil(m / 512)]: voice probability of each 32 ms of samples float32 [m]. About 500x real time per core."""
    from faster_whisper.vad import get_vad_model

    frames = -(-len(samples) // FRAME)
    padded = np.zeros(frames * FRAME, np.float32)  # a copy: faster-whisper's wrapper writes into what it is given
    padded[: len(samples)] = samples
    return np.asarray(get_vad_model()(padded), np.float32).reshape(frames)


def voiced_spans(probabilities: np.ndarray, length: int) -> list[Span]:
    """Finds utterances in frame probabilities with a hysteresis. Bridges short pauses and drops short or weak bursts.

    >>> voiced_spans(np.array([0, .6, .9, .4, .9, .9, .9, .9, .9, .1, .1, .1, .1, .1, .1, .1]), 16 * 512)
    [(512, 4608)]
    """
    runs: list[Span] = []
    start = last_voiced = -1  # frames; start < 0 between utterances
    for frame, probability in enumerate(probabilities.tolist()):
        if start < 0:
            if probability >= VOICE_ON:
                start = last_voiced = frame
        elif probability >= VOICE_OFF:
            last_voiced = frame
        elif (frame - last_voiced) * FRAME >= MIN_PAUSE:
            runs.append((start, last_voiced + 1))
            start = -1
    if start >= 0:
        runs.append((start, last_voiced + 1))
    spans = [(first * FRAME, min(last * FRAME, length)) for first, last in runs]
    return [span for talk in _talks(spans) if _is_speech(talk, probabilities) for span in talk]


def frame_energy(samples: np.ndarray) -> np.ndarray:
    """float32 [m // 512]: mean square of each whole frame, smoothed over five frames (160 ms)."""
    frames = len(samples) // FRAME
    energy = np.square(samples[: frames * FRAME].reshape(frames, FRAME)).mean(axis=1)
    return np.convolve(energy, np.full(5, 0.2), mode="same").astype(np.float32)


def split_at_quiet(span: Span, energy: np.ndarray, longest: int = MAX_UTTERANCE - 2 * PAD) -> list[Span]:
    """Cuts a span into touching ones of at most `longest` samples, each cut at the quietest frame of those in reach."""
    start, end = span
    pieces = []
    while end - start > longest:
        first, last = (start + longest - CUT_RANGE) // FRAME, (start + longest) // FRAME
        cut = (first + int(energy[first:last].argmin())) * FRAME + FRAME // 2
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]


def pad_spans(spans: Sequence[Span], length: int, pad: int = PAD) -> list[Span]:
    """Gives spans air on both sides; neighbours share the pause between them, and nothing leaves [0, length).

    >>> pad_spans([(1000, 2000), (2101, 3000)], 3100, pad=400)
    [(600, 2050), (2050, 3100)]
    """
    if not spans:
        return []
    middles = [(left[1] + right[0]) // 2 for left, right in pairwise(spans)]
    lows, highs = [0, *middles], [*middles, length]
    return [
        (max(start - pad, low), min(end + pad, high))
        for (start, end), low, high in zip(spans, lows, highs, strict=True)
    ]


def pack_chunks(spans: Sequence[Span], max_s: float = MAX_CHUNK_S) -> list[Chunk]:
    """Joins neighbouring utterances of one unit into the fewest chunks of at most `max_s` seconds.

    Raises ValueError when one span alone is longer: `find_speech` never gives such spans.

    >>> pack_chunks([(0, 16_000), (20_000, 36_000), (50_000, 66_000)], max_s=2)
    [Chunk(spans=((0, 16000), (20000, 36000))), Chunk(spans=((50000, 66000),))]
    """
    longest = int(max_s * SAMPLE_RATE_HZ)
    packs: list[list[Span]] = []
    room = -1
    for start, end in spans:
        if not 0 < end - start <= longest:
            raise ValueError(f"span {start}..{end} is empty or longer than a chunk of {longest} samples")
        if end - start > room:
            packs.append([])
            room = longest
        packs[-1].append((start, end))
        room -= end - start
    return [Chunk(tuple(pack)) for pack in packs]


def _talks(spans: Sequence[Span]) -> list[list[Span]]:
    talks: list[list[Span]] = []
    for span in spans:
        if talks and span[0] - talks[-1][-1][1] < TALK_GAP:
            talks[-1].append(span)
        else:
            talks.append([span])
    return talks


def _is_speech(talk: Sequence[Span], probabilities: np.ndarray) -> bool:
    likely = max(float(probabilities[start // FRAME : -(-end // FRAME)].max()) for start, end in talk)
    return likely >= MIN_PEAK and sum(end - start for start, end in talk) >= MIN_TALK

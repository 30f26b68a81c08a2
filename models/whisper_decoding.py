"""What both Whisper engines share: the contract of an engine, its results, and the sizes of Whisper's input."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ

CHUNK_SAMPLES = 30 * SAMPLE_RATE_HZ


HOP = 160
"""Samples to a mel frame."""


STATE_SAMPLES = 2 * HOP
"""Samples to a state of the encoder, 20 ms: its second convolution takes every other frame."""


QUIET_FRAMES = 200
"""Silence after a chunk, 2 s: with less, last words are lost."""


FRAME_STEP = 1000
"""10, 20 or 30 s. Only chunks of one such length share a batch: what one reads does not depend on a longer neighbour."""


def compression_ratio(text: str) -> float:
    """Bytes of a text over its zlib bytes: 0 for none, about 1.5 for prose, above 2.4 for a loop."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def padded_frames(longest: int) -> int:
    """Mel frames that a chunk is padded to: Whisper was trained on 30 s, but less silence costs less and reads the same.

    >>> padded_frames(310), padded_frames(1100), padded_frames(2950)
    (1000, 2000, 3000)
    """
    return min(CHUNK_SAMPLES // HOP, -(-(longest + QUIET_FRAMES) // FRAME_STEP) * FRAME_STEP)


class Decoding(NamedTuple):
    """Tokens of one chunk, as an engine decoded them."""

    tokens: list[int]
    text: str
    avg_logprob: float
    no_speech_prob: float

    @property
    def compression_ratio(self) -> float:
        return compression_ratio(self.text)


class TimedWord(NamedTuple):
    """A word as the model writes it: a leading space belongs to it, so that joining words gives the text."""

    word: str
    start_s: float
    end_s: float
    probability: float


class Engine(Protocol):
    """What an engine must do; `heard` is its own encoded form of a batch of chunks, all of one language, and `states` the same
    as float32 [chunks, states, W], padding included."""

    multilingual: bool
    together: int
    """Chunks to a batch, at most."""
    lanes: int
    """Batches that it takes at once, each in a thread of its own. What comes out does not depend on it."""

    def encode(self, chunks: Sequence[np.ndarray]) -> Any: ...

    def states(self, heard: Any) -> np.ndarray: ...

    def languages(self, heard: Any) -> list[tuple[str, float]]: ...

    def decode(self, heard: Any, count: int, language: str, timestamps: bool) -> list[Decoding]: ...

    def align(self, heard: Any, tokens: list[list[int]], frames: list[int], language: str) -> list[list[TimedWord]]: ...


def _at_least(chunk: np.ndarray) -> np.ndarray:
    """At least one analysis window of samples, zeros added: a shorter chunk has no spectrum."""
    return np.pad(chunk, (0, max(0, 400 - len(chunk)))).astype(np.float32, copy=False)

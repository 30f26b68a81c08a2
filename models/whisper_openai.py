"""Whisper by OpenAI's own package, on PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from . import ct2_weights
from .weights import resolve
from .whisper_decoding import HOP, Decoding, TimedWord, _at_least
from .whisper_settings import WhisperSettings, unknown_language


class OpenaiEngine:
    """openai-whisper: its own batched `decode`, and its own alignment, from features that are encoded once."""

    def __init__(self, spec: WhisperSettings, device: str):
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
        self.together, self.lanes = spec.batch_size, 1
        if self.multilingual and spec.language and spec.language not in self._languages():
            raise unknown_language(spec)
        with warnings.catch_warnings():  # openai-whisper never closes its vocabulary file
            warnings.simplefilter("ignore", ResourceWarning)
            self._tokenizer(spec.language or "en")

    def _languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model has a token for: the first ones of the library's own list."""
        from whisper.tokenizer import LANGUAGES

        return tuple(LANGUAGES)[: self.model.num_languages]

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

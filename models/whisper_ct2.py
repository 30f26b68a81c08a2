"""Whisper by CTranslate2, the engine of faster-whisper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import MissingWeights
from . import ct2_weights
from .weights import resolve
from .whisper_decoding import Decoding, TimedWord, _at_least, cpu_threads, padded_frames
from .whisper_settings import WhisperSettings


class Ct2Engine:
    """faster-whisper: CTranslate2 kernels, driven batch by batch."""

    def __init__(self, spec: WhisperSettings, device: str):
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

"""Whisper by CTranslate2, the engine of faster-whisper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import MissingWeights
from . import ct2_weights
from .devices import own_cores
from .weights import resolve
from .whisper_decoding import Decoding, TimedWord, _at_least, padded_frames
from .whisper_settings import WhisperSettings, unknown_language

CPU_TOGETHER = 4
"""Chunks to a batch on a CPU, at most."""

LANES_MOST = 16
"""Batches at once on a CPU, at most: each has its own activations. Machines with more cores run several workers."""


class Ct2Engine:
    """faster-whisper: CTranslate2 kernels, driven batch by batch.

    On a CPU each batch has one thread, and as many batches run at once as there are cores: small batches beside each other take two
    thirds of the time of larger ones that share the cores (`python -m benchmarks.speech`), and no result depends on the number of cores.
    """

    def __init__(self, spec: WhisperSettings, device: str):
        import faster_whisper

        kind, _, index = device.partition(":")
        self.spec = spec
        folder = _ct2_folder(spec.weights)
        check_tokenizer(folder)
        on_cpu = kind == "cpu"
        self.together = min(spec.batch_size, CPU_TOGETHER) if on_cpu else spec.batch_size
        self.lanes = min(own_cores(), LANES_MOST) if on_cpu else 1
        self.model = faster_whisper.WhisperModel(
            str(folder),
            device=kind,
            device_index=int(index or 0),
            cpu_threads=1,
            num_workers=self.lanes,
            compute_type={"cpu": "int8"}.get(kind, "float16") if spec.compute_type == "auto" else spec.compute_type,
        )
        self.multilingual = bool(self.model.model.is_multilingual)
        self._obey_mel_bins(folder)
        token = f"<|{spec.language}|>"
        if self.multilingual and spec.language and self.model.hf_tokenizer.token_to_id(token) is None:
            raise unknown_language(spec)

    def _obey_mel_bins(self, folder: Path) -> None:
        """The features have the mel bins of the weights: faster-whisper takes 80 where no preprocessor_config.json says otherwise,
        and ct2-transformers-converter copies that file only when told to. Raises MissingWeights for one of another model."""
        from faster_whisper.feature_extractor import FeatureExtractor

        bins, stated = int(self.model.model.n_mels), self.model.feat_kwargs.get("feature_size")
        if stated not in (None, bins):
            raise MissingWeights(
                f"weights {self.spec.weights!r}: preprocessor_config.json says {stated} mel bins, but the weights want {bins}; "
                f"cure: bring the preprocessor_config.json of the same model into {folder}, or remove it"
            )
        self.model.feat_kwargs["feature_size"] = bins
        self.model.feature_extractor = FeatureExtractor(**self.model.feat_kwargs)

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


def check_tokenizer(folder: Path) -> None:
    """Raises MissingWeights for a folder without the tokenizer of its own model. faster-whisper would fetch one from the hub, of
    a model that numbers its languages otherwise than large-v3, and without a trace in the model's identity."""
    file = folder / "tokenizer.json"
    cure = f"cure: bring the tokenizer.json of the same model into {folder} (ct2-transformers-converter --copy_files tokenizer.json)"
    if not file.is_file():
        raise MissingWeights(f"weights {str(folder)!r}: no tokenizer.json beside model.bin; {cure}")
    numbered = _vocabulary(folder)
    if not numbered:
        return
    import tokenizers

    read = tokenizers.Tokenizer.from_file(str(file))
    for token in ("<|endoftext|>", "<|notimestamps|>"):
        if token in numbered and numbered.index(token) != read.token_to_id(token):
            raise MissingWeights(f"weights {str(folder)!r}: tokenizer.json is of another model than model.bin; {cure}")


def _vocabulary(folder: Path) -> list[str]:
    """Tokens in the order of their numbers, as CTranslate2 keeps them beside the weights; none where it does not."""
    for name in ("vocabulary.json", "vocabulary.txt"):
        if (folder / name).is_file():
            text = (folder / name).read_bytes().decode()
            return list(json.loads(text)) if name.endswith("json") else text.split("\n")
    return []


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

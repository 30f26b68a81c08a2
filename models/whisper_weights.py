"""Hashes and sizes of Whisper's weights, without loading a model."""

from __future__ import annotations

from . import ct2_weights
from .weights import resolve, sha256_of
from .whisper_ct2 import _ct2_folder
from .whisper_openai import _openai_name_sha256
from .whisper_settings import WhisperSettings

WIDTHS = {"tiny": 384, "base": 512, "small": 768, "medium": 1024, "large": 1280, "turbo": 1280}
"""Numbers in a state, by the first word of a model's name (Radford et al., table 1; turbo has large's encoder)."""


def weights_sha256(spec: WhisperSettings) -> str:
    path = resolve(spec.weights)
    if path is not None:
        return sha256_of(path)
    return (
        _openai_name_sha256(spec.weights) if spec.engine == "openai-whisper" else sha256_of(_ct2_folder(spec.weights))
    )


def encoder_width(spec: WhisperSettings) -> int:
    """Numbers in a state of the encoder, without loading the model; a hub name of faster-whisper may be downloaded."""
    path = resolve(spec.weights)
    if path is None and spec.engine == "openai-whisper":
        _openai_name_sha256(spec.weights)
        return WIDTHS[spec.weights.removesuffix(".en").split("-")[0]]
    if path is None or ct2_weights.is_ct2_folder(path):
        return ct2_weights.encoder_width(_ct2_folder(spec.weights) / "model.bin")
    import torch

    return int(torch.load(path, map_location="cpu", weights_only=True)["dims"]["n_audio_state"])

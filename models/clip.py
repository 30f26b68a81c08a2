"""CLIP: frames and words into one space, with open_clip's own models, tokenizers and preprocessing constants."""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from .weights import resolve, sha256_of

if TYPE_CHECKING:
    import torch

WORTH_BF16 = 20_000_000
"""Visual parameters above which bfloat16 pays on a CPU that has it; a small network is bound by memory, not by GEMM."""

CPU_BATCH = 8
"""On a CPU every batch has exactly this size, padded: one shape, so that an embedding never depends on what else is in the
batch, to the last bit, and a run that was killed stores what an undisturbed one does. Larger batches are 6% faster."""


@dataclass(frozen=True)
class ClipSpec:
    """Which CLIP. `weights` is a pretrained tag of `architecture`, a weights file, or a folder or package in
    open_clip's own layout (open_clip_config.json beside the weights; `architecture` is then not read)."""

    architecture: str
    weights: str
    precision: str = "auto"
    """float32, bfloat16, float16, or auto: the fastest that keeps a cosine of 0.999 to float32 on the device."""
    batch_size: int = 32
    quick_gelu: bool = False

    def load(self, device: str) -> ClipEncoder:
        """The network on `cpu` or `cuda`. Raises MissingWeights."""
        return ClipEncoder(self, device)

    def identity(self) -> dict[str, Any]:
        """Everything that changes an embedding beyond rounding. Two equal identities may be searched together."""
        kept = {"architecture": self.architecture, "weights": self.weights, "quick_gelu": self.quick_gelu}
        return kept | {"weights_sha256": sha256_of(self._weights_path())}

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """open_clip's model_cfg and preprocess_cfg."""
        return _load_config(self)

    @property
    def image_size(self) -> int:
        """Side of the square that the model sees, in pixels."""
        size = self.config["model_cfg"]["vision_cfg"].get("image_size", 224)
        return size[0] if isinstance(size, (list, tuple)) else size

    @property
    def dimension(self) -> int:
        return self.config["model_cfg"]["embed_dim"]

    def _weights_path(self) -> Path:
        found = resolve(self.weights)
        if found is not None:
            return found
        return _download(self.architecture, self.weights)


def _load_config(spec: ClipSpec) -> dict[str, Any]:
    """Read without importing open_clip, which takes seconds: a job knows its shapes before its models are loaded."""
    found = resolve(spec.weights)
    if found is not None and found.is_dir():
        file = found / "open_clip_config.json"
        if not file.exists():
            raise MissingWeights(f"{found}: no open_clip_config.json; a folder of weights needs open_clip's own layout")
        return json.loads(file.read_text())
    installed = importlib.util.find_spec("open_clip")
    places = (installed and installed.submodule_search_locations) or [""]
    file = Path(places[0], "model_configs", f"{spec.architecture}.json")
    if not file.is_file():
        raise UsageError(f"open_clip knows no architecture {spec.architecture!r}; see open_clip.list_models()")
    return {"model_cfg": json.loads(file.read_text()), "preprocess_cfg": {}}


def _preprocess_of(spec: ClipSpec) -> dict[str, Any]:
    """mean, std and interpolation, where the weights state them."""
    import open_clip

    tag = {} if resolve(spec.weights) else open_clip.get_pretrained_cfg(spec.architecture, spec.weights)
    return {**spec.config.get("preprocess_cfg", {}), **{key: value for key, value in tag.items() if value}}


def _download(architecture: str, tag: str) -> Path:
    """The weights file of a pretrained tag, from the local cache or the hub."""
    import open_clip

    found = open_clip.get_pretrained_cfg(architecture, tag)
    if not found:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture))
        raise MissingWeights(
            f"{architecture} has no pretrained weights {tag!r}, and there is no such file; known: {tags}"
        )
    try:
        return Path(open_clip.download_pretrained(found))
    except Exception as error:  # every hub client has its own errors; what helps is the same
        raise MissingWeights(
            f"{architecture}:{tag} is not in the local cache and could not be downloaded ({type(error).__name__}: {error}); "
            "cure: connect to the internet once, or give a local path, or use --models offline"
        ) from error


def pick_precision(asked: str, device: str, visual_parameters: int) -> torch.dtype:
    """A pure function of the hardware, never of a stopwatch: the same machine always stores the same bytes."""
    import torch

    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[asked]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast and visual_parameters > WORTH_BF16 else torch.float32


class ClipEncoder:
    """A loaded CLIP. Both methods are deterministic for equal batches on one machine."""

    def __init__(self, spec: ClipSpec, device: str):
        import open_clip
        import torch

        self.spec, self.device = spec, device
        folder = resolve(spec.weights)
        logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger().level))  # open_clip logs each load
        if folder is not None and folder.is_dir():
            name = f"local-dir:{folder}"
            model = open_clip.create_model(name, force_quick_gelu=spec.quick_gelu)
        else:
            name = spec.architecture
            model = open_clip.create_model(name, pretrained=str(spec._weights_path()), force_quick_gelu=spec.quick_gelu)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.dtype = pick_precision(spec.precision, device, sum(p.numel() for p in model.visual.parameters()))
        self.model = model.eval().requires_grad_(False).to(device)
        # on a CPU the words stay in float32: torch's attention with a mask takes twice as long in bfloat16
        (self.model if device.startswith("cuda") else self.model.visual).to(self.dtype)
        self.size = spec.image_size
        preprocess = _preprocess_of(spec)
        self.interpolation = preprocess.get("interpolation", "bicubic")
        mean = preprocess.get("mean", open_clip.OPENAI_DATASET_MEAN)
        std = preprocess.get("std", open_clip.OPENAI_DATASET_STD)
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [n, h, w, 3] RGB -> float32 [n, D], unit length.

        Frames of the model's own size are only normalised; others are resized to it and centre-cropped, as
        open_clip's own preprocessing does.
        """
        import torch

        parts = []
        with torch.inference_mode():
            size = CPU_BATCH if self.device == "cpu" else self.spec.batch_size
            for start in range(0, len(frames), size):
                batch = frames[start : start + size]
                count = len(batch)
                if count < size:
                    batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), np.uint8)])
                pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device).permute(0, 3, 1, 2)
                found = self.model.encode_image(self._prepare(pixels)).float()
                parts.append(torch.nn.functional.normalize(found, dim=-1)[:count])
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, self.spec.dimension), np.float32)

    def _prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch
        from torchvision.transforms.v2 import InterpolationMode, functional

        if pixels.shape[-2:] != (self.size, self.size):
            mode = InterpolationMode(self.interpolation)
            pixels = functional.center_crop(functional.resize(pixels, [self.size], mode, antialias=True), [self.size])
        normal = (pixels.float() - self.mean) / self.std
        return normal.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length, in the space of the frames."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), self.spec.batch_size):
                tokens = self.tokenizer(list(texts[start : start + self.spec.batch_size])).to(self.device)
                parts.append(torch.nn.functional.normalize(self.model.encode_text(tokens).float(), dim=-1))
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, self.spec.dimension), np.float32)

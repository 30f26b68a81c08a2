"""CLIP: embeds frames and texts in one space, with open_clip's models, tokenizers and preprocessing constants."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from .preprocessing import HISTORIC, Preprocessing, fit, merged, replaced, stated
from .torch_modes import side_by_side
from .weights import resolve, sha256_of

if TYPE_CHECKING:
    import torch

WORTH_BF16 = 20_000_000
"""Number of visual parameters above which bfloat16 is faster on a CPU that supports it. Smaller networks are memory-bound."""

CPU_BATCH = 8
"""On a CPU every batch is padded to exactly this size. With one shape, an embedding never depends on the rest of the batch, to
the last bit, so an interrupted and resumed run stores the same bytes. Larger batches would be 6% faster."""


@dataclass(frozen=True)
class ClipSpec:
    """A CLIP model and its settings.

    `weights` is a pretrained tag of `architecture`, a weights file, or a folder or package in open_clip's layout
    (open_clip_config.json next to the weights; `architecture` is then ignored).
    """

    architecture: str
    weights: str
    precision: str = "auto"
    """float32, bfloat16, float16, or auto: the fastest that keeps a cosine of 0.999 to float32 on the device."""
    batch_size: int = 32
    quick_gelu: bool | None = None
    """Whether to use the QuickGELU activation; None takes it from the pretrained tag, or else from the architecture."""
    preprocessing: Mapping[str, Any] | None = field(default=None, hash=False)
    """Fields of Preprocessing that differ from the weights' own settings. Needed for a weights file, which has no settings."""

    def load(self, device: str) -> ClipEncoder:
        """The network on `cpu` or `cuda`. Raises MissingWeights."""
        return ClipEncoder(self, device)

    def identity(self) -> dict[str, Any]:
        """Everything that changes an embedding beyond rounding. Embeddings with equal identities are comparable."""
        own, used = bool(self.config["model_cfg"].get("quick_gelu", False)), self.has_quick_gelu
        kept: dict[str, Any] = {"architecture": self.architecture, "weights": self.weights}
        # false means: as the architecture's config says; older datasets use it in this sense too
        kept |= {"quick_gelu": False if used == own else used or "off"}
        kept |= {"weights_sha256": sha256_of(self._weights_path())}
        if differs := stated(self.pixels, self._own_pixels):
            kept |= {"preprocessing": differs}
        return kept

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any]) -> ClipSpec:
        """The spec of an identity from any version. Fields that it lacks get the only behaviour of that version."""
        bare = cls(identity["architecture"], identity["weights"])
        forced = identity["quick_gelu"]
        own = bool(bare.config["model_cfg"].get("quick_gelu", False))
        activation = own if forced is False else forced is True
        said = HISTORIC | identity.get("preprocessing", {})
        return cls(bare.architecture, bare.weights, quick_gelu=activation, preprocessing=said)

    def sees_as(self, identity: Mapping[str, Any]) -> list[str]:
        """What an embedding of this model differs in from that of an identity, wherever the weights of both lie: names of network,
        weights_sha256, quick_gelu, or fields of Preprocessing. Empty where both may be searched together."""
        if self.identity()["weights_sha256"] != identity["weights_sha256"]:
            return ["weights_sha256"]
        other = ClipSpec.of_identity({**identity, "weights": self.weights})
        networks = [{**spec.config["model_cfg"], "quick_gelu": None} for spec in (self, other)]
        found = ["network"] if networks[0] != networks[1] else []
        found += ["quick_gelu"] if self.has_quick_gelu != other.has_quick_gelu else []
        fields = (declared.name for declared in dataclasses.fields(Preprocessing))
        return found + [name for name in fields if getattr(self.pixels, name) != getattr(other.pixels, name)]

    def check(self) -> None:
        """Raises UsageError when the spec contradicts its pretrained tag: the features would be wrong."""
        told = self._tag.get("quick_gelu") if self.quick_gelu is not None else None
        if told is not None and bool(told) != self.quick_gelu:
            raise UsageError(
                f"quick_gelu is {self.quick_gelu} in the models file, but {self.architecture}:{self.weights} was trained with "
                f"quick_gelu {bool(told)}: its features would be wrong. Cure: remove quick_gelu from the models file"
            )
        _ = self.pixels

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """open_clip's model_cfg and preprocess_cfg."""
        return _load_config(self)

    @functools.cached_property
    def _tag(self) -> Mapping[str, Any]:
        """open_clip's settings of a pretrained tag; empty for weights given as a file, folder or package."""
        if resolve(self.weights) is not None:
            return {}
        import open_clip

        found: Mapping[str, Any] = open_clip.get_pretrained_cfg(self.architecture, self.weights)
        return found

    @functools.cached_property
    def _own_pixels(self) -> Preprocessing:
        """The preprocessing that the weights themselves specify."""
        size = self.config["model_cfg"]["vision_cfg"].get("image_size", 224)
        return merged(size, self.config.get("preprocess_cfg", {}), self._tag)

    @functools.cached_property
    def pixels(self) -> Preprocessing:
        """The preprocessing of frames. Imports open_clip only for a pretrained tag."""
        return replaced(self._own_pixels, self.preprocessing)

    @property
    def has_quick_gelu(self) -> bool:
        """Whether QuickGELU is used: as set in the spec, else in the pretrained tag, else in the architecture."""
        if self.quick_gelu is not None:
            return self.quick_gelu
        own = self.config["model_cfg"].get("quick_gelu", False)
        return bool(self._tag.get("quick_gelu", own))

    @property
    def dimension(self) -> int:
        return self.config["model_cfg"]["embed_dim"]

    def _weights_path(self) -> Path:
        found = resolve(self.weights)
        if found is not None:
            return found
        return _download(self.architecture, self.weights)


def _load_config(spec: ClipSpec) -> dict[str, Any]:
    """Reads the model's config without importing open_clip, which takes seconds. A job needs it before it loads models."""
    found = resolve(spec.weights)
    if found is not None and found.is_dir():
        file = found / "open_clip_config.json"
        if not file.exists():
            raise MissingWeights(
                f"{found}: no open_clip_config.json, which a folder of weights must contain; cure: save it in open_clip's layout"
            )
        return json.loads(file.read_text())
    installed = importlib.util.find_spec("open_clip")
    places = (installed and installed.submodule_search_locations) or [""]
    file = Path(places[0], "model_configs", f"{spec.architecture}.json")
    if not file.is_file():
        raise UsageError(
            f"open_clip has no architecture {spec.architecture!r}; cure: use one of open_clip.list_models()"
        )
    return {"model_cfg": json.loads(file.read_text()), "preprocess_cfg": {}}


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
    except Exception as error:  # each hub client raises its own errors; the cure is the same
        raise MissingWeights(
            f"{architecture}:{tag} is not in the local cache and could not be downloaded ({type(error).__name__}: {error}); "
            "cure: connect to the internet once, or give a local path, or use --models offline"
        ) from error


def pick_precision(asked: str, device: str, visual_parameters: int) -> torch.dtype:
    """Chooses a precision from the hardware alone, not from timings, so that one machine always stores the same bytes."""
    import torch

    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[asked]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast and visual_parameters > WORTH_BF16 else torch.float32


def open_clip_model(spec: ClipSpec, device: str) -> tuple[Any, Any]:
    """The model of a spec as open_clip builds it, and its tokenizer. Raises MissingWeights."""
    import open_clip

    folder = resolve(spec.weights)
    logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger().level))  # open_clip logs each load
    if folder is not None and folder.is_dir():
        name = f"local-dir:{folder}"
        model = open_clip.create_model(name, quick_gelu=spec.has_quick_gelu)
    else:
        name = spec.architecture
        path = str(spec._weights_path())
        model = open_clip.create_model(name, pretrained=path, quick_gelu=spec.has_quick_gelu)
    try:
        tokenizer = open_clip.get_tokenizer(name)
    except (
        Exception
    ) as error:  # some tags, as those of SigLIP2, have a tokenizer on the hub, and each client its own errors
        raise MissingWeights(
            f"{spec.architecture}:{spec.weights}: its tokenizer is not in the local cache and could not be downloaded "
            f"({type(error).__name__}: {error}); cure: connect to the internet once, or use --models offline"
        ) from error
    return model.eval().requires_grad_(False).to(device), tokenizer


class ClipEncoder:
    """A loaded CLIP. Both methods are deterministic for equal batches on one machine.

    On a CPU a known picture tower runs without open_clip, to the same bits; open_clip is then imported for texts only.
    """

    def __init__(self, spec: ClipSpec, device: str):
        import torch

        from .clip_towers import picture_tower

        self.spec, self.device = spec, device
        self._size = CPU_BATCH if device == "cpu" else spec.batch_size
        light = picture_tower(spec) if device == "cpu" else None
        if light:
            tower, parameters = light
        else:
            parameters = sum(part.numel() for part in self._loaded[0].visual.parameters())
        self.dtype = pick_precision(spec.precision, device, parameters)
        self._picture: Callable[[torch.Tensor], torch.Tensor]
        if light:
            self._picture = tower(self.dtype)
        else:
            # on a CPU the text tower stays in float32: torch's masked attention takes twice as long in bfloat16
            (self.model if device.startswith("cuda") else self.model.visual).to(self.dtype)
            self._picture = self.model.encode_image
        self.pixels = spec.pixels
        self.mean = torch.tensor(self.pixels.mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(self.pixels.std, device=device).view(1, 3, 1, 1) * 255

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """open_clip's model and tokenizer."""
        return open_clip_model(self.spec, self.device)

    @property
    def model(self) -> Any:
        """The whole model, as open_clip builds it."""
        return self._loaded[0]

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [n, h, w, 3] RGB -> float32 [n, D], unit length.

        Frames of the model's size are only normalised. Others are first resized as open_clip's preprocessing does.
        """
        import torch

        batches = [frames[start : start + self._size] for start in range(0, len(frames), self._size)]
        parts = side_by_side(self._encode, batches, self.device)
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, self.spec.dimension), np.float32)

    def _encode(self, batch: np.ndarray) -> torch.Tensor:
        """float32 [n, D] of one batch, which is padded to its full size."""
        import torch

        count = len(batch)
        if count < self._size:
            batch = np.concatenate([batch, np.zeros((self._size - count, *batch.shape[1:]), np.uint8)])
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device).permute(0, 3, 1, 2)
            found = self._picture(self._prepare(pixels)).float()
            return torch.nn.functional.normalize(found, dim=-1)[:count]

    def _prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        normal = (fit(pixels, self.pixels).float() - self.mean) / self.std
        return normal.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length, comparable with embeddings of frames."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), self.spec.batch_size):
                tokens = self._loaded[1](list(texts[start : start + self.spec.batch_size])).to(self.device)
                parts.append(torch.nn.functional.normalize(self.model.encode_text(tokens).float(), dim=-1))
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, self.spec.dimension), np.float32)

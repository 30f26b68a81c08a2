"""Preprocessing of frames for a CLIP model, as in open_clip: size, resize mode, interpolation, mean and std.

Source: open_clip 3.3, `transform.image_transform(is_train=False)`, and the order in which `factory.create_model` merges its
defaults, the pretrained tag's settings and a folder's `open_clip_config.json`. The size is always that of the vision tower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..schemas.errors import UsageError

if TYPE_CHECKING:
    import torch

RESIZE_MODES = ("shortest", "longest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear")

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""open_clip's defaults, RGB on a scale of 0 to 1. Copied here so that decoders can start before open_clip is imported."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture of any size becomes the model's input. Raises UsageError for settings that open_clip does not have.

    `shortest` scales the picture to fill the frame and crops the centre. `longest` scales it to fit inside and pads with `fill`.
    `squash` scales it to the frame's width and height, ignoring its aspect ratio.
    """

    size: tuple[int, int] = (224, 224)
    """(height, width) in pixels."""
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0
    """Grey level of the padding of `longest`, 0 to 255."""
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD

    def __post_init__(self) -> None:
        if self.resize_mode not in RESIZE_MODES:
            raise UsageError(f"resize_mode {self.resize_mode!r}: choose one of {', '.join(RESIZE_MODES)}")
        if self.interpolation not in INTERPOLATIONS:
            raise UsageError(f"interpolation {self.interpolation!r}: choose one of {', '.join(INTERPOLATIONS)}")
        if not (isinstance(self.fill, int) and 0 <= self.fill <= 255):
            raise UsageError(f"fill {self.fill!r}: one grey of 0 to 255 is wanted")
        if len(self.size) != 2 or not all(isinstance(side, int) and side > 0 for side in self.size):
            raise UsageError(f"size {self.size!r}: (height, width) in pixels is wanted")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise UsageError(f"mean {self.mean!r}, std {self.std!r}: three numbers each are wanted, std above 0")

    @property
    def scaler(self) -> str:
        """The interpolation in effect. For `shortest` and a non-square size, open_clip always uses bicubic."""
        height, width = self.size
        return "bicubic" if self.resize_mode == "shortest" and height != width else self.interpolation


def square(size: int) -> Preprocessing:
    """The default preprocessing for a square frame of `size` pixels."""
    return Preprocessing((size, size))


def merged(image_size: Any, *layers: Mapping[str, Any]) -> Preprocessing:
    """Merges layers of `preprocess_cfg` keys over open_clip's defaults. Later layers win; empty values are ignored.

    >>> merged(256, {"resize_mode": "squash", "size": 224}, {"interpolation": None}).size
    (256, 256)
    """
    found: dict[str, Any] = {}
    for layer in layers:
        found |= {key: value for key, value in layer.items() if value is not None}
    given: dict[str, Any] = {key: found[key] for key in ("resize_mode", "interpolation") if key in found}
    if given.get("interpolation") == "random":  # a training setting; for inference open_clip then uses bicubic
        given["interpolation"] = "bicubic"
    given |= {key: _three(found[key]) for key in ("mean", "std") if key in found}
    fill = found.get("fill", found.get("fill_color", 0))
    sides = tuple(image_size) if isinstance(image_size, (list, tuple)) else (image_size,)
    return Preprocessing((sides[0], sides[-1]), fill=fill, **given)


def _three(value: Any) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3


def replaced(base: Preprocessing, given: Mapping[str, Any] | None) -> Preprocessing:
    """`base` with fields replaced by those of a models file or a dataset's identity. Raises UsageError for unknown fields."""
    known = [declared.name for declared in dataclasses.fields(Preprocessing) if declared.name != "size"]
    if unknown := set(given or {}) - set(known):
        raise UsageError(
            f"preprocessing has no field {', '.join(sorted(unknown))}; known: {', '.join(known)} (the size is the model's)"
        )
    fields: dict[str, Any] = {
        key: _three(value) if key in ("mean", "std") else value for key, value in (given or {}).items()
    }
    return dataclasses.replace(base, **fields)


HISTORIC: dict[str, Any] = {"resize_mode": "shortest", "interpolation": "bicubic", "fill": 0}
"""Settings of datasets whose identity does not mention preprocessing."""


def stated(used: Preprocessing, own: Preprocessing) -> dict[str, Any]:
    """Fields that an identity must record: those that differ from HISTORIC, and mean or std other than the weights' own."""
    usual = replaced(own, HISTORIC)
    fields = (declared.name for declared in dataclasses.fields(Preprocessing))
    differing = {name: getattr(used, name) for name in fields if getattr(used, name) != getattr(usual, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in differing.items()}


def scaled_size(height: int, width: int, wanted: Preprocessing) -> tuple[int, int]:
    """(height, width) of a picture after scaling, before cropping or padding.

    >>> scaled_size(720, 1280, square(224)), scaled_size(720, 1280, Preprocessing(resize_mode="longest"))
    ((224, 398), (126, 224))
    """
    to_height, to_width = wanted.size
    if wanted.resize_mode == "squash":
        return to_height, to_width
    if wanted.resize_mode == "shortest" and to_height == to_width:  # torchvision's Resize rounds down
        return (to_height, to_height * width // height) if width > height else (to_height * height // width, to_height)
    ratios = height / to_height, width / to_width
    ratio = max(ratios) if wanted.resize_mode == "longest" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def fit(pixels: torch.Tensor, wanted: Preprocessing) -> torch.Tensor:
    """uint8 [n, 3, h, w] RGB -> uint8 [n, 3, H, W] of the model's size. Pictures of that size are returned unchanged."""
    if tuple(pixels.shape[-2:]) == wanted.size:
        return pixels
    from torchvision.transforms.v2 import InterpolationMode, functional

    scaled = list(scaled_size(pixels.shape[-2], pixels.shape[-1], wanted))
    pixels = functional.resize(pixels, scaled, InterpolationMode(wanted.scaler), antialias=True)
    missing = [max(0, to - has) for to, has in zip(wanted.size, scaled, strict=True)]
    if any(missing):
        above, left = (each // 2 for each in missing)
        frame = [left, above, missing[1] - left, missing[0] - above]
        pixels = functional.pad(pixels, frame, fill=[float(wanted.fill)] * 3)
    return functional.center_crop(pixels, list(wanted.size))

"""A second engine for frames: models of sentence-transformers that embed pictures and texts into one space.

The contract is that of `clip.py`: frames uint8 [n, h, w, 3] RGB in, float32 [n, D] of unit length out, texts beside them. Frames are
encoded as the library's `encode_document` does and texts as its `encode_query`, each with the folder's own prompts, modules and
processor. The decoder scales frames as that processor would; the processor then finds them at their size, and normalises.

Source: sentence-transformers 6.2, `base/modules/transformer.py` (`modality_config`), `sentence_transformer/model.py`
(`get_embedding_dimension`); transformers 5.23, `image_processing_utils.py` (`size`, `crop_size`, `resample`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from .clip import CPU_BATCH, pick_precision
from .preprocessing import Preprocessing
from .sentence_config import read_config
from .text import sentence_folder
from .weights import resolve, sha256_of

ENGINE = "sentence-transformers"

INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the interpolations that the decoder has."""


@dataclass(frozen=True)
class SentenceClipSpec:
    """A model of sentence-transformers with a picture side and a text side, and its settings."""

    weights: str
    """A hub name, a folder that sentence-transformers saved, or `package:NAME/FOLDER`."""
    precision: str = "auto"
    """float32, bfloat16, float16, or auto: float32 on a CPU, 16 bits on a GPU."""
    batch_size: int = 32
    engine: str = ENGINE

    def load(self, device: str) -> SentenceClipEncoder:
        """The model on `cpu` or `cuda`. Raises MissingWeights, and UsageError for a model without a picture or a text side."""
        return SentenceClipEncoder(self, device)

    def identity(self) -> dict[str, Any]:
        """Everything that changes an embedding beyond rounding; the processor's settings are part of the weights' hash."""
        return {"engine": self.engine, "weights": self.weights, "weights_sha256": sha256_of(self._folder)}

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any]) -> SentenceClipSpec:
        """The spec of an identity."""
        return cls(identity["weights"])

    def sees_as(self, identity: Mapping[str, Any]) -> list[str]:
        """What an embedding of this model differs in from that of an identity, wherever the weights of both lie."""
        here = self.identity()
        return [name for name in ("engine", "weights_sha256") if here[name] != identity.get(name, "open_clip")]

    def check(self) -> None:
        """Raises UsageError for a folder on this machine whose model cannot embed frames. Downloads nothing."""
        if resolve(self.weights) is not None:
            _ = self.pixels

    @property
    def architecture(self) -> str:
        """What stands where open_clip's models have their architecture, for people."""
        return self.engine

    @functools.cached_property
    def pixels(self) -> Preprocessing:
        """The preprocessing of frames. Imports no library. Raises UsageError for a model without a picture side."""
        return processor_pixels(self.weights, picture_side(self.weights, self._folder))

    @functools.cached_property
    def dimension(self) -> int:
        """Length of a vector. Loads the model where its files do not say it."""
        stated = stated_dimension(self._folder)
        if stated is not None:
            return stated
        from .loaded import loaded

        encoder: SentenceClipEncoder = loaded(self, "auto")
        return encoder.dimension

    @functools.cached_property
    def _folder(self) -> Path:
        return sentence_folder(self.weights)


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found


def _first_module(folder: Path) -> tuple[Path, str]:
    """Folder and type of the first module, which reads pictures and texts."""
    first = json.loads((folder / "modules.json").read_text("utf-8"))[0]
    return folder / first["path"], first["type"]


def picture_side(weights: str, folder: Path) -> dict[str, Any]:
    """The settings of a folder's picture processor. Raises UsageError where the model embeds no pictures, or no texts.

    A folder states its modalities; those from before that could be stated are CLIPModel modules.
    """
    inside, kind = _first_module(folder)
    modalities = _read(inside / "sentence_bert_config.json").get("modality_config", {})
    processor = _read(inside / "processor_config.json").get("image_processor") or _read(
        inside / "preprocessor_config.json"
    )
    is_old = not modalities and kind.rpartition(".")[2] == "CLIPModel"
    missing = [] if is_old else [side for side in ("image", "text") if side not in modalities]
    if missing:
        raise one_sided(weights, f"its modalities are {', '.join(modalities) or 'not stated'}")
    if not processor:
        raise one_sided(weights, "it has no picture processor")
    return processor


def one_sided(weights: str, seen: str) -> UsageError:
    """The error for a model that embeds no pictures, or no texts."""
    return UsageError(
        f'clip weights {weights!r}: {seen}; wanted with "engine": "{ENGINE}" is a model that embeds pictures and texts into one '
        "space. Cure: name such a model, one whose folder this version of sentence-transformers saved"
    )


def processor_pixels(weights: str, processor: Mapping[str, Any]) -> Preprocessing:
    """What a picture processor's scaling and cropping is for the decoder. Raises UsageError where it depends on the picture.

    A processor that scales to more than it crops out gets the larger square, and crops it itself.

    >>> processor_pixels("", {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}, "resample": 3}).resize_mode
    'shortest'
    >>> processor_pixels("", {"size": {"height": 48, "width": 64}, "resample": 2, "do_center_crop": False}).resize_mode
    'squash'
    """
    size, crop = sides(processor.get("size")), sides(processor.get("crop_size"))
    scaler = INTERPOLATIONS.get(processor.get("resample", 3))
    crops = processor.get("do_center_crop", bool(crop))
    is_known = scaler is not None and processor.get("do_resize", True)
    if is_known and set(size) == {"shortest_edge"} and crops and max(crop.values(), default=0) <= size["shortest_edge"]:
        return Preprocessing((size["shortest_edge"],) * 2, "shortest", str(scaler))
    if is_known and set(size) == {"height", "width"}:
        return Preprocessing((size["height"], size["width"]), "squash", str(scaler))
    shown = {name: processor.get(name) for name in ("do_resize", "size", "do_center_crop", "crop_size", "resample")}
    raise UsageError(
        f"clip weights {weights!r}: the size of a frame depends on the picture ({shown}); wanted is a processor with a fixed size "
        "and bicubic or bilinear scaling. Cure: set size and crop_size in its preprocessor_config.json"
    )


def sides(size: Any) -> dict[str, int]:
    """A size of transformers, of any age, as its named sides.

    >>> sides(224), sides({"height": 2, "width": 3, "longest_edge": None}), sides(None)
    ({'shortest_edge': 224}, {'height': 2, 'width': 3}, {})
    """
    if isinstance(size, int):
        return {"shortest_edge": size}
    return {name: side for name, side in (size or {}).items() if side is not None}


def stated_dimension(folder: Path) -> int | None:
    """Length of a vector, as far as files state it: a pooling or dense module, or the projection of a CLIP."""
    stated = read_config(folder).dimension
    if stated is not None:
        return stated
    inside, _ = _first_module(folder)
    length, cut = (
        _read(inside / "config.json").get("projection_dim"),
        _read(folder / "config_sentence_transformers.json").get("truncate_dim"),
    )
    return min(length, cut) if length and cut else length


class SentenceClipEncoder:
    """A loaded model of sentence-transformers. Both methods are deterministic for equal batches on one machine."""

    def __init__(self, spec: SentenceClipSpec, device: str):
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        self.spec, self.device, folder = spec, device, spec._folder
        _ = spec.pixels  # refuses a model without a picture side before seconds of loading
        logging.disable_progress_bar()  # it would write over our own
        precision = "float32" if spec.precision == "auto" and device == "cpu" else spec.precision
        dtype = pick_precision(precision, device, 0)
        try:
            self._whole = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"dtype": dtype}
            ).eval()
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise MissingWeights(
                f"clip weights {spec.weights!r}: sentence-transformers cannot load {folder} ({type(error).__name__}: {error}); "
                "cure: name a folder that this version saved, or a hub name"
            ) from error
        if not {"image", "text"} <= set(self._whole.modalities):
            raise one_sided(spec.weights, f"its modalities are {', '.join(map(str, self._whole.modalities))}")
        self.model: Any = getattr(self._whole[0], "model", None)
        """The network itself, which may have a logit_scale."""
        self.dimension = int(self._whole.get_embedding_dimension() or 0)
        if (stated := stated_dimension(folder)) not in (None, self.dimension):
            raise UsageError(
                f"clip weights {spec.weights!r}: its files state vectors of {stated} numbers, it gives {self.dimension}"
            )

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [n, h, w, 3] RGB -> float32 [n, D], unit length. Pictures of any size: the processor scales them.

        On a CPU each batch has CPU_BATCH pictures, so that an embedding does not depend on the rest of the batch.
        """
        from PIL import Image

        size = CPU_BATCH if self.device == "cpu" else self.spec.batch_size
        parts = [np.zeros((0, self.dimension), np.float32)]
        for start in range(0, len(frames), size):
            pictures = [Image.fromarray(frame) for frame in frames[start : start + size]]
            count = len(pictures)
            pictures += [Image.new("RGB", pictures[0].size)] * (size - count)
            parts.append(self._unit(self._whole.encode_document(pictures, **self._how(size)))[:count])
        return np.concatenate(parts)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length, comparable with embeddings of frames."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        return self._unit(self._whole.encode_query(list(texts), **self._how(self.spec.batch_size)))

    @staticmethod
    def _how(batch_size: int) -> dict[str, Any]:
        return {"batch_size": batch_size, "show_progress_bar": False, "convert_to_tensor": True}

    @staticmethod
    def _unit(vectors: Any) -> np.ndarray:
        import torch

        found: np.ndarray = torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
        return found

"""CLIP's text tower in numpy: one query encoded in milliseconds, where importing torch and open_clip takes seconds.

Only networks that are known to the last tensor are run here: weights in a safetensors file named by its place, a plain text
tower, its tensors named and shaped as open_clip's CLIP class does. All others, and all pretrained tags, load the whole
`ClipEncoder`. The vectors equal those of open_clip on a CPU but for rounding.

A token attends only to those before it, and the text's vector is read at end-of-text: what follows it, padding, is left out.
Source: open_clip 3.3, `model.py` (`CLIP.encode_text`), `transformer.py` (`ResidualAttentionBlock`, `text_global_pool`) and
`factory.py` (`_find_checkpoint_in_dir`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .clip import ClipSpec
from .clip_tokens import VOCABULARY_SIZE, ClipTokens, clip_tokens
from .frame_engines import FrameSpec
from .loaded import loaded
from .numpy_layers import attention, gelu, layer_norm, linear, one_thread, quick_gelu, unit
from .tensor_file import DTYPES, StoredTensor, stored_tensors
from .weights import resolve

EPSILON = 1e-5
"""Of torch's LayerNorm."""

MODEL_FIELDS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
TEXT_DEFAULTS = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0}
"""Fields of `text_cfg` that this file understands, with open_clip's defaults."""

TOGETHER = 32
"""Texts that go through the layers at once."""

PREFERRED = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
"""The weights file that open_clip takes of a folder, in this order; else the first safetensors file, else the first other."""


class WordEncoder(Protocol):
    """Encodes texts into the space of the frames."""

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length."""


def word_encoder(spec: FrameSpec, device: str) -> WordEncoder:
    """The text tower alone where it can run without torch and no GPU is asked for; else the whole model. Raises MissingWeights."""
    light = clip_words(spec) if isinstance(spec, ClipSpec) and device in ("auto", "cpu") else None
    return light or loaded(spec, device)


class ClipWords:
    """A text tower held in memory, but for the embeddings of the vocabulary, of which only the rows asked for are read."""

    def __init__(
        self,
        tokens: ClipTokens,
        tensors: Mapping[str, StoredTensor],
        shape: Mapping[str, Any],
        quick: bool,
        scale: float,
    ):
        """`shape`: the fields of TEXT_DEFAULTS. `quick`: whether the activation is quick_gelu. `scale`: the factor of a cosine before
        the softmax in training."""
        self.scale = scale
        self._tokens, self._shape = tokens, shape
        self._act = quick_gelu if quick else gelu
        self._vocabulary = tensors["token_embedding.weight"]
        self._weights = {name: kept.array() for name, kept in tensors.items() if kept is not self._vocabulary}

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length, in the space of the frames."""
        with one_thread():
            parts = [self._encode(texts[at : at + TOGETHER]) for at in range(0, len(texts), TOGETHER)]
        return np.concatenate(parts) if parts else np.zeros((0, self._weights["text_projection"].shape[1]), np.float32)

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        """Some texts, whose tokens stand below each other: each layer's weights are read once for all of them."""
        weights = self._weights
        ids = [self._tokens.encode(text, self._shape["context_length"]) for text in texts]
        # a text may itself spell end-of-text: the first one counts
        ids = [own[: own.index(max(own)) + 1] for own in ids]
        ends = np.cumsum([len(own) for own in ids])
        x = np.concatenate([self._vocabulary.rows(own) + weights["positional_embedding"][: len(own)] for own in ids])
        for layer in range(self._shape["layers"]):
            x = self._block(x, ends, f"transformer.resblocks.{layer}.")
        last = layer_norm(x[ends - 1], weights["ln_final.weight"], weights["ln_final.bias"], EPSILON)
        return np.stack([unit(one) for one in last @ weights["text_projection"]])

    def _block(self, x: np.ndarray, ends: np.ndarray, at: str) -> np.ndarray:
        """One block: float32 [n, width] -> [n, width]. `ends` int64 [t]: where each text ends in it."""

        def norm(x: np.ndarray, name: str) -> np.ndarray:
            return layer_norm(x, self._weights[f"{at}{name}.weight"], self._weights[f"{at}{name}.bias"], EPSILON)

        def dense(x: np.ndarray, name: str, joint: str = ".") -> np.ndarray:
            return linear(x, self._weights[f"{at}{name}{joint}weight"], self._weights[f"{at}{name}{joint}bias"])

        parts = np.split(dense(norm(x, "ln_1"), "attn.in_proj", "_"), ends[:-1])
        heads = self._shape["heads"]
        seen = [
            attention(query, key, value, heads, is_causal=True)
            for query, key, value in (np.split(one, 3, axis=1) for one in parts)
        ]
        x = x + dense(np.concatenate(seen), "attn.out_proj")
        return x + dense(self._act(dense(norm(x, "ln_2"), "mlp.c_fc")), "mlp.c_proj")


@lru_cache(maxsize=4)
def clip_words(spec: ClipSpec) -> ClipWords | None:
    """The text tower of a spec; None where only open_clip itself knows how to run it. Raises MissingWeights."""
    found = resolve(spec.weights)
    shape = tower_shape(spec.config["model_cfg"]) if found is not None else None
    if found is None or shape is None or (found.is_file() and "siglip" in spec.architecture.lower()):
        return None
    file = checkpoint(found) if found.is_dir() else found
    tokens = clip_tokens()
    if file is None or file.suffix != ".safetensors" or tokens is None:
        return None
    own = {name: kept for name, kept in stored_tensors(file).items() if not name.startswith("visual.")}
    scale = own.pop("logit_scale", None)
    if scale is None:
        return None
    expected = expected_shapes(shape, spec.dimension)
    if {name: kept.shape for name, kept in own.items()} != expected or {one.dtype for one in own.values()} - set(
        DTYPES
    ):
        return None
    return ClipWords(tokens, own, shape, spec.has_quick_gelu, float(np.exp(scale.array()).item()))


def tower_shape(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of TEXT_DEFAULTS of open_clip's model_cfg; None where it says more than this file understands.

    >>> tower_shape({"embed_dim": 8, "vision_cfg": {}, "text_cfg": {"width": 64}})["width"]
    64
    >>> tower_shape({"embed_dim": 8, "vision_cfg": {}, "text_cfg": {"no_causal_mask": True}}) is None
    True
    """
    text = config["text_cfg"]
    if set(config) - MODEL_FIELDS or set(text) - set(TEXT_DEFAULTS):
        return None
    shape = {**TEXT_DEFAULTS, **text}
    fits = shape["vocab_size"] >= VOCABULARY_SIZE and shape["width"] % shape["heads"] == 0
    return shape if fits else None


def expected_shapes(shape: Mapping[str, Any], dimension: int) -> dict[str, tuple[int, ...]]:
    """Each tensor of the tower with its shape."""
    width, hidden = shape["width"], int(shape["width"] * shape["mlp_ratio"])
    block = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "mlp.c_fc.weight": (hidden, width),
        "mlp.c_fc.bias": (hidden,),
        "mlp.c_proj.weight": (width, hidden),
        "mlp.c_proj.bias": (width,),
        **{f"{norm}.{part}": (width,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")},
    }
    return {
        "token_embedding.weight": (shape["vocab_size"], width),
        "positional_embedding": (shape["context_length"], width),
        "text_projection": (width, dimension),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        **{f"transformer.resblocks.{at}.{name}": size for at in range(shape["layers"]) for name, size in block.items()},
    }


def checkpoint(folder: Path) -> Path | None:
    """The weights file that open_clip loads from a folder."""
    files = sorted(file for kind in ("safetensors", "bin", "pth") for file in folder.glob(f"*.{kind}"))
    files.sort(key=lambda file: file.suffix != ".safetensors")
    preferred = sorted((file for file in files if file.name in PREFERRED), key=lambda file: PREFERRED.index(file.name))
    return next(iter([*preferred, *files]), None)

"""CLIP's picture towers in plain torch, with the very results of open_clip, whose import takes two processor seconds.

Only towers that are known to the last tensor are run here, on a CPU: a vision transformer or a modified ResNet without options,
in a safetensors file named by its place. All others, and all pretrained tags, load open_clip itself.

The operations are those of open_clip in its order, so that the vectors are the same to the last bit; a test compares them.
Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.4; open_clip 3.3,
`transformer.py` (`VisionTransformer`), `modified_resnet.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .clip_words import EPSILON, MODEL_FIELDS, checkpoint
from .weights import resolve

if TYPE_CHECKING:
    from .clip import ClipSpec

VISION_FIELDS = {"image_size", "layers", "width", "patch_size", "head_width"}
"""Fields of `vision_cfg` that this file understands."""

HEAD_WIDTH = 64
IMAGE_SIZE = 224
MLP_RATIO = 4

Tensors = dict[str, torch.Tensor]
Tower = Callable[[torch.Tensor], torch.Tensor]
"""float [n, 3, H, W] -> [n, D], in the dtype of the tower."""


def picture_tower(spec: ClipSpec) -> tuple[Callable[[torch.dtype], Tower], int] | None:
    """A function that gives the picture tower of a spec in a dtype, and its number of parameters; None where only open_clip
    itself knows how to run it. Raises MissingWeights."""
    found = resolve(spec.weights)
    config = spec.config["model_cfg"]
    vision = config["vision_cfg"]
    if (
        found is None
        or set(config) - MODEL_FIELDS
        or set(vision) - VISION_FIELDS
        or not isinstance(vision["width"], int)
    ):
        return None
    file = checkpoint(found) if found.is_dir() else found
    if file is None or file.suffix != ".safetensors" or (found.is_file() and "siglip" in spec.architecture.lower()):
        return None
    from safetensors.torch import load_file

    own = {name.removeprefix("visual."): kept for name, kept in load_file(file).items() if name.startswith("visual.")}
    own = {name: kept.float().clone() for name, kept in own.items() if not name.endswith("num_batches_tracked")}
    is_resnet = isinstance(vision["layers"], list)
    expected = resnet_shapes(vision, spec.dimension) if is_resnet else transformer_shapes(vision, spec.dimension)
    if {name: tuple(kept.shape) for name, kept in own.items()} != expected:
        return None
    parameters = sum(kept.numel() for name, kept in own.items() if ".running_" not in name)

    def tower(dtype: torch.dtype) -> Tower:
        cast = {name: kept.to(dtype) for name, kept in own.items()}
        return ResNetTower(cast, vision) if is_resnet else TransformerTower(cast, vision, spec.has_quick_gelu)

    return tower, parameters


class TransformerTower:
    """A vision transformer."""

    def __init__(self, tensors: Tensors, vision: Mapping[str, Any], quick_gelu: bool):
        self._weights, self._quick_gelu = tensors, quick_gelu
        self._patch, self._layers = vision["patch_size"], vision["layers"]
        width = vision["width"]
        self._attention = []
        for layer in range(self._layers):
            heads = width // vision.get("head_width", HEAD_WIDTH)
            own = torch.nn.MultiheadAttention(width, heads, batch_first=True, device="meta")  # without random weights
            at = f"transformer.resblocks.{layer}.attn."
            stored = {name.removeprefix(at): kept for name, kept in tensors.items() if name.startswith(at)}
            own.load_state_dict(stored, assign=True)
            self._attention.append(own.eval().requires_grad_(False))

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        weights = self._weights
        x = functional.conv2d(pixels, weights["conv1.weight"], stride=self._patch)
        x = x.reshape(x.shape[0], x.shape[1], -1).permute(0, 2, 1)
        first = weights["class_embedding"].view(1, 1, -1).expand(x.shape[0], -1, -1)
        x = torch.cat([first.to(x.dtype), x], dim=1)
        x = self._norm(x + weights["positional_embedding"].to(x.dtype), "ln_pre")
        for layer in range(self._layers):
            at = f"transformer.resblocks.{layer}."
            seen = self._norm(x, f"{at}ln_1")
            x = x + self._attention[layer](seen, seen, seen, need_weights=False)[0]
            hidden = self._dense(self._norm(x, f"{at}ln_2"), f"{at}mlp.c_fc")
            hidden = hidden * torch.sigmoid(1.702 * hidden) if self._quick_gelu else functional.gelu(hidden)
            x = x + self._dense(hidden, f"{at}mlp.c_proj")
        return self._norm(x, "ln_post")[:, 0] @ weights["proj"]

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, EPSILON)

    def _dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])


class ResNetTower:
    """A ResNet with three convolutions at its start, pooling before strides, and attention at its end."""

    def __init__(self, tensors: Tensors, vision: Mapping[str, Any]):
        self._weights, self._layers = tensors, vision["layers"]
        self._heads = vision["width"] * 32 // vision.get("head_width", HEAD_WIDTH)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self._convolved(pixels, "conv1", "bn1", padding=1, stride=2).relu_()
        x = self._convolved(x, "conv2", "bn2", padding=1).relu_()
        x = functional.avg_pool2d(self._convolved(x, "conv3", "bn3", padding=1).relu_(), 2)
        for stage, blocks in enumerate(self._layers, start=1):
            for block in range(blocks):
                x = self._block(x, f"layer{stage}.{block}.", 2 if stage > 1 and not block else 1)
        return self._attended(x)

    def _block(self, x: torch.Tensor, at: str, stride: int) -> torch.Tensor:
        found = self._convolved(x, f"{at}conv1", f"{at}bn1").relu_()
        found = self._convolved(found, f"{at}conv2", f"{at}bn2", padding=1).relu_()
        if stride > 1:
            found = functional.avg_pool2d(found, stride)
        found = self._convolved(found, f"{at}conv3", f"{at}bn3")
        if f"{at}downsample.0.weight" in self._weights:
            x = self._convolved(functional.avg_pool2d(x, stride), f"{at}downsample.0", f"{at}downsample.1")
        found += x
        return found.relu_()

    def _convolved(self, x: torch.Tensor, name: str, norm: str, padding: int = 0, stride: int = 1) -> torch.Tensor:
        """A convolution and the normalisation after it, with its stored statistics."""
        x = functional.conv2d(x, self._weights[f"{name}.weight"], stride=stride, padding=padding)
        mean, variance, weight, bias = (
            self._weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias, eps=EPSILON)

    def _attended(self, x: torch.Tensor) -> torch.Tensor:
        """[n, width, h, w] -> [n, D]: what the mean of all places attends to."""
        weights = {name.removeprefix("attnpool."): kept for name, kept in self._weights.items() if "attnpool" in name}
        x = x.reshape(x.shape[0], x.shape[1], -1).permute(2, 0, 1)
        x = torch.cat([x.mean(dim=0, keepdim=True), x], dim=0)
        x = x + weights["positional_embedding"][:, None, :].to(x.dtype)
        found, _ = functional.multi_head_attention_forward(
            x, x, x, x.shape[-1], self._heads,
            in_proj_weight=None,
            in_proj_bias=torch.cat([weights[f"{part}_proj.bias"] for part in "qkv"]),
            bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
            out_proj_weight=weights["c_proj.weight"], out_proj_bias=weights["c_proj.bias"],
            training=False, need_weights=False, use_separate_proj_weight=True,
            q_proj_weight=weights["q_proj.weight"], k_proj_weight=weights["k_proj.weight"], v_proj_weight=weights["v_proj.weight"],
        )  # fmt: skip
        return found[0]


def transformer_shapes(vision: Mapping[str, Any], dimension: int) -> dict[str, tuple[int, ...]]:
    """Each tensor of a vision transformer with its shape; empty for sizes that are no whole squares."""
    size, patch, width = vision.get("image_size", IMAGE_SIZE), vision.get("patch_size"), vision["width"]
    if not isinstance(size, int) or not isinstance(patch, int) or width % vision.get("head_width", HEAD_WIDTH):
        return {}
    norms = {f"{norm}.{part}": (width,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")}
    block: dict[str, tuple[int, ...]] = {
        **norms,
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "mlp.c_fc.weight": (MLP_RATIO * width, width),
        "mlp.c_fc.bias": (MLP_RATIO * width,),
        "mlp.c_proj.weight": (width, MLP_RATIO * width),
        "mlp.c_proj.bias": (width,),
    }
    return {
        "conv1.weight": (width, 3, patch, patch),
        "class_embedding": (width,),
        "positional_embedding": ((size // patch) ** 2 + 1, width),
        "proj": (width, dimension),
        **{f"{norm}.{part}": (width,) for norm in ("ln_pre", "ln_post") for part in ("weight", "bias")},
        **{
            f"transformer.resblocks.{at}.{name}": kept for at in range(vision["layers"]) for name, kept in block.items()
        },
    }


def resnet_shapes(vision: Mapping[str, Any], dimension: int) -> dict[str, tuple[int, ...]]:
    """Each tensor of a modified ResNet with its shape; empty for sizes that are no whole squares."""
    size, width = vision.get("image_size", IMAGE_SIZE), vision["width"]
    if not isinstance(size, int) or len(vision["layers"]) != 4:
        return {}
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, into: int, outof: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (outof, into, kernel, kernel)
        shapes.update({f"{norm}.{part}": (outof,) for part in ("weight", "bias", "running_mean", "running_var")})

    half = width // 2
    for number, (into, outof) in enumerate(((3, half), (half, half), (half, width)), start=1):
        convolution(f"conv{number}", f"bn{number}", into, outof, 3)
    before = width
    for stage, blocks in enumerate(vision["layers"], start=1):
        planes = width << (stage - 1)
        for block in range(blocks):
            at = f"layer{stage}.{block}."
            convolution(f"{at}conv1", f"{at}bn1", before, planes, 1)
            convolution(f"{at}conv2", f"{at}bn2", planes, planes, 3)
            convolution(f"{at}conv3", f"{at}bn3", planes, 4 * planes, 1)
            if not block:
                convolution(f"{at}downsample.0", f"{at}downsample.1", before, 4 * planes, 1)
            before = 4 * planes
    shapes["attnpool.positional_embedding"] = ((size // 32) ** 2 + 1, before)
    for part, outof in (("q", before), ("k", before), ("v", before), ("c", dimension)):
        shapes |= {f"attnpool.{part}_proj.weight": (outof, before), f"attnpool.{part}_proj.bias": (outof,)}
    return shapes

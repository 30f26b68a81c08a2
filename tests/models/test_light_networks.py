"""Stored vectors of known networks come without open_clip and sentence-transformers, and are theirs to the last bit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from reelbeam.models.clip import ClipEncoder, ClipSpec, open_clip_model
from reelbeam.models.clip_towers import picture_tower
from reelbeam.models.profiles import PROFILES
from reelbeam.models.sentence_documents import SentenceDocuments
from reelbeam.models.text import TextEncoder, TextSpec

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
VIT = {"image_size": 64, "layers": 3, "width": 128, "patch_size": 16}
NETWORKS: dict[str, dict[str, Any]] = {
    "transformer": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT},
    "quick_gelu": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "heads": {"embed_dim": 32, "vision_cfg": {**VIT, "head_width": 32}, "text_cfg": TEXT},
    "resnet": {"embed_dim": 32, "vision_cfg": {"image_size": 64, "layers": [2, 1, 1, 1], "width": 32}, "text_cfg": TEXT},
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "pooled": {"embed_dim": 32, "vision_cfg": {**VIT, "pool_type": "avg"}, "text_cfg": TEXT},
    "scaled": {"embed_dim": 32, "vision_cfg": {**VIT, "ls_init_value": 0.1}, "text_cfg": TEXT},
}
WORDS = (
    "the a of harbour quiet boats came home this morning grandfather Ünï café 12 3.4, dog's don't [SEP] 日本".split()
)


def stored(config: dict[str, Any], folder: Path) -> ClipSpec:
    """A folder with a network of this shape and random weights."""
    torch.manual_seed(7)
    model = open_clip.model.CLIP(**config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.weight.data.uniform_(0.5, 2)
    save_file(
        {name: kept.contiguous() for name, kept in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"size": 64}}))
    return ClipSpec("", str(folder))


def same_as_open_clip(spec: ClipSpec, dtype: torch.dtype) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (11, *spec.pixels.size, 3), np.uint8)
    light = ClipEncoder(spec, "cpu")
    tower = picture_tower(spec)
    assert tower
    light.dtype, light._picture = dtype, tower[0](dtype)
    found = light.encode(frames)
    model, _ = open_clip_model(spec, "cpu")
    model.visual.to(dtype)
    assert tower[1] == sum(part.numel() for part in model.visual.parameters())
    light._picture = model.encode_image
    np.testing.assert_array_equal(found, light.encode(frames))
    assert found.std() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("network", NETWORKS)
def test_picture_towers_are_open_clips_to_the_last_bit(network: str, dtype: torch.dtype, tmp_path: Path) -> None:
    same_as_open_clip(stored(NETWORKS[network], tmp_path), dtype)


def test_the_offline_picture_tower_is_open_clips_to_the_last_bit() -> None:
    spec = PROFILES["offline"].clip
    assert isinstance(spec, ClipSpec)
    same_as_open_clip(spec, torch.float32)


@pytest.mark.parametrize("network", OTHERS)
def test_networks_with_options_are_left_to_open_clip(network: str, tmp_path: Path) -> None:
    spec = stored(OTHERS[network], tmp_path)
    assert picture_tower(spec) is None
    assert spec.load("cpu").encode(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 32)


def test_a_light_tower_still_encodes_texts_by_open_clip() -> None:
    spec = PROFILES["offline"].clip
    assert spec.load("cpu").encode_text(["a dog"]).shape == (1, spec.dimension)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 64, 65, 200])
def test_stored_texts_are_encoded_as_by_sentence_transformers_to_the_last_bit(
    count: int, encoders: tuple[SentenceDocuments, TextEncoder]
) -> None:
    draw = random.Random(count)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 60))) for _ in range(count)] + ["", "long " * 400]
    light, whole = encoders
    np.testing.assert_array_equal(light.encode(texts), whole.encode(texts))
    np.testing.assert_array_equal(light.encode_query(texts), whole.encode_query(texts))


@pytest.fixture(scope="module")
def encoders() -> tuple[SentenceDocuments, TextEncoder]:
    light = TextSpec().load("cpu")
    assert isinstance(light, SentenceDocuments)
    return light, TextSpec().load_whole("cpu")


def test_loading_the_offline_models_imports_no_library_that_they_can_do_without() -> None:
    code = (
        "import sys; from reelbeam.models.profiles import PROFILES; own = PROFILES['offline']\n"
        "for spec in (own.clip, own.whisper, own.text): spec.load('cpu')\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"open_clip", "transformers", "sentence_transformers", "torchvision", "sklearn", "timm"}
    assert not set(done.stdout.split()) & heavy

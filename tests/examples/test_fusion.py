"""The fusion example: its modules keep their contract, its splits keep videos apart, its runs resume."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.tables import RowShape

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHAPE = RowShape(ticks=4, frame_dim=8, audio_dim=5, text_dim=6)


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    torch.set_num_threads(1)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    values = rng.normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def example_inputs(rows: int, ticks: int = 4) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(4)
    return {
        "frame": torch.from_numpy(unit(rng, rows, ticks, 8)),
        "frame_valid": torch.from_numpy(rng.random((rows, ticks)) < 0.7),
        "audio": torch.from_numpy(rng.normal(size=(rows, ticks, 5)).astype(np.float32)),
        "text": torch.from_numpy(unit(rng, rows, 6)),
        "present": torch.from_numpy(rng.random((rows, 3)) < 0.6),
    }


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    "kind", ["early", "intermediate", "late", "attention", "memory", "hierarchical", "transformer"]
)
def test_an_exported_fusion_gives_unit_vectors_and_ignores_what_is_absent(kind: str, tmp_path: Path) -> None:
    models = module("fusion_models")
    torch.manual_seed(0)
    fusion = models.KINDS[kind](models.Sizes(4, 8, 5, 6, hidden=8, fused=12))
    models.export(fusion, str(tmp_path / "fusion.pt"))
    loaded = torch.jit.load(str(tmp_path / "fusion.pt"))
    assert loaded.dimension == 12
    for rows in (1, 5):
        x = example_inputs(rows)
        fused = loaded(x["frame"], x["frame_valid"], x["audio"], x["text"], x["present"])
        assert fused.dtype == torch.float32
        assert fused.shape == (rows, 12)
        torch.testing.assert_close(fused.norm(dim=-1), torch.ones(rows))
        torch.testing.assert_close(fused, fusion(**x))
    other = {name: value.clone() for name, value in x.items()}
    other["frame"][~x["frame_valid"]] = 9.0
    for at, name in enumerate(("frame", "audio", "text")):
        other[name][~x["present"][:, at]] = 9.0
    torch.testing.assert_close(fusion(**other), fused)
    every = torch.ones(5, 3, dtype=torch.bool)
    changed = fusion(**{**x, "present": every, "text": -x["text"]})
    assert not torch.allclose(fusion(**{**x, "present": every}), changed)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made dataset of 60 videos of 3 windows."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = made_rows(180, 3, SHAPE, [3] * 60)
    place = rows.schema.get_field_index("text_status")
    rows = rows.set_column(place, rows.schema.field(place), pa.array(["ok"] * 180))
    put_snapshot(folder / "features", [rows], SHAPE, group_bytes=6_000)
    return folder / "features"


def labels() -> Any:
    splits = ("train", "train", "train", "validation", "test")
    made = {
        f"{video:016x}": {"topic": "abc"[video % 3], "split": splits[video % 5], "clips": []} for video in range(60)
    }
    return module("labelled").Labels(made)


def test_a_stopped_run_goes_on_to_the_same_weights(labelled: Path, tmp_path: Path) -> None:
    trainer = module("train_fusion")
    dataset = Dataset.open(str(labelled))
    whole = trainer.train(dataset, labels(), "early", epochs=3)
    file = tmp_path / "run.ckpt"
    trainer.train(dataset, labels(), "early", epochs=3, checkpoint=file, stop_after=4)
    assert file.exists()
    resumed = trainer.train(dataset, labels(), "early", epochs=3, checkpoint=file)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    found = trainer.evaluate(resumed, dataset, labels(), "test")
    assert found["confusion"].sum() == found["windows"] == 36


def test_a_run_ends_with_the_epoch_that_is_best_on_the_validation_videos(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = module("train_fusion")
    dataset = Dataset.open(str(labelled))
    seen: list[tuple[float, dict[str, torch.Tensor]]] = []
    real = trainer.evaluate

    def watched(learner: Any, dataset: Dataset, labels: Any, split: str) -> dict[str, Any]:
        assert split == "validation"
        # Made up, so that the best epoch is neither the first nor the last.
        loss = [3.0, 1.0, 2.0][len(seen)]
        seen.append((loss, {name: value.clone() for name, value in learner.state_dict().items()}))
        return {**real(learner, dataset, labels, split), "loss": loss}

    monkeypatch.setattr(trainer, "evaluate", watched)
    kept = trainer.train(dataset, labels(), "early", epochs=3).state_dict()
    assert all(torch.equal(value, seen[1][1][name]) for name, value in kept.items())
    assert not all(torch.equal(value, seen[2][1][name]) for name, value in kept.items())


def test_no_video_is_in_two_splits(labelled: Path) -> None:
    reader = module("labelled")
    dataset = Dataset.open(str(labelled))
    splits = []
    for split in reader.SPLITS:
        data = reader.windows(dataset, labels(), split, batch_size=16)
        splits.append({video for batch in data for video in batch["video_id"]})
    assert [len(videos) for videos in splits] == [36, 12, 12]
    assert len(set.union(*splits)) == 60


def test_a_truth_without_labels_is_refused_with_the_cure(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(json.dumps({"videos": [{"file": "a.mp4"}]}))

    class Videos:
        videos: ClassVar = {"1": {"video_id": "1", "uri": "/x/a.mp4"}}

    with pytest.raises(ValueError, match=r"no labels for a\.mp4.*--tasks"):
        module("labelled").labels_of(Videos(), tmp_path / "truth.json")


@pytest.mark.slow
def test_two_processes_train_together(labelled: Path, tmp_path: Path) -> None:
    script = (
        "import json, sys, torch, labelled, train_fusion as t\n"
        "from reelbeam.pipeline.dataset.read import Dataset\n"
        "torch.distributed.init_process_group('gloo'); torch.set_num_threads(1)\n"
        "labels = labelled.Labels(json.load(open(f'{sys.argv[2]}/labels.json')))\n"
        "made = t.train(Dataset.open(sys.argv[1]), labels, 'early', epochs=2)\n"
        "torch.save(made.state_dict(), f'{sys.argv[2]}/{t._rank()}.pt'); torch.distributed.destroy_process_group()\n"
    )
    (tmp_path / "labels.json").write_text(json.dumps(labels().of))
    (tmp_path / "run.py").write_text(f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n{script}")
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", str(tmp_path / "run.py")]
    subprocess.run([sys.executable, *command, str(labelled), str(tmp_path)], check=True, timeout=240)
    left, right = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert all(torch.equal(left[name], right[name]) for name in left)

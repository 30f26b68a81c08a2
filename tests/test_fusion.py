"""The fusion example: its formulas are what NumPy computes, its modules keep their contract, its runs resume."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.read import Dataset
from reelbeam.schemas.tables import RowShape

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
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


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def test_info_nce_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    left, right = unit(rng, 7, 5), unit(rng, 7, 5)
    scores = left @ right.T / 0.07
    wanted = -(np.log(np.diagonal(softmax(scores))).sum() + np.log(np.diagonal(softmax(scores.T))).sum()) / (2 * 7)
    found = module("fusion_objectives").info_nce(torch.from_numpy(left), torch.from_numpy(right))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_masked_error_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    predicted, wanted = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
    masked = rng.random((3, 4)) < 0.5
    cosine = (predicted * wanted).sum(-1) / np.linalg.norm(predicted, axis=-1) / np.linalg.norm(wanted, axis=-1)
    found = module("fusion_objectives").masked_error(*map(torch.from_numpy, (predicted, wanted, masked)))
    assert float(found) == pytest.approx((1 - cosine)[masked].mean(), rel=1e-5)


def test_measures_are_plain_loops() -> None:
    objectives = module("fusion_objectives")
    rng = np.random.default_rng(2)
    queries, found = unit(rng, 30, 4), unit(rng, 30, 4)
    for k in (1, 5):
        hits = sum(row in np.argsort(-(found @ queries[row]))[:k] for row in range(30))
        assert objectives.recall_at(queries, found, k) == hits / 30
    assert objectives.recall_at(np.ones((5, 2)), np.ones((5, 2)), 1) == 0, "a constant answer finds nothing"
    truth, answer = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    table = objectives.confusion(truth, answer, 4)
    scores = []
    for label in range(4):
        tp = ((truth == label) & (answer == label)).sum()
        precision, recall = tp / (answer == label).sum(), tp / (truth == label).sum()
        scores.append(2 * precision * recall / (precision + recall))
    assert objectives.macro_f1(table) == pytest.approx(np.mean(scores))


def test_attention_is_its_formula() -> None:
    models = module("fusion_models")
    fusion = models.Attention(models.Sizes(4, 8, 5, 6, hidden=8, fused=3)).eval()
    tokens, mask = torch.randn(2, 9, 8), torch.rand(2, 9) < 0.6
    keys, values = fusion.keys(tokens).detach().numpy(), fusion.values(tokens).detach().numpy()
    scores = np.where(mask, keys @ fusion.query.detach().numpy() / np.sqrt(8), -1e4).astype(np.float32)
    seen = (softmax(scores)[..., None] * values).sum(1)
    joined = torch.cat([torch.from_numpy(seen), models.modalities(tokens, mask).sum(1)], 1)
    found = fusion.fuse(tokens, mask, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close(found, fusion.join(joined), rtol=1e-4, atol=1e-5)


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
@pytest.mark.parametrize("kind", ["early", "intermediate", "attention", "memory", "hierarchical", "transformer"])
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
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A made dataset of 60 videos whose frames tell their topic, and its truth."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = made_rows(180, 3, SHAPE, [3] * 60)
    place = rows.schema.get_field_index("text_status")
    rows = rows.set_column(place, rows.schema.field(place), pa.array(["ok"] * 180))
    put_snapshot(folder / "features", [rows], SHAPE, group_bytes=6_000)
    truth = [{"file": f"{video}.mp4", "labels": {"topic": "abc"[video % 3]}} for video in range(60)]
    (folder / "truth.json").write_text(json.dumps({"videos": truth}))
    return folder / "features", folder / "truth.json"


def labels(trainer: ModuleType) -> object:
    return trainer.Labels(["a", "b", "c"], {f"{video:016x}": video % 3 for video in range(60)})


def test_a_stopped_run_goes_on_to_the_same_weights(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    trainer = module("train_fusion")
    dataset = Dataset.open(str(labelled[0]))
    whole = trainer.train(dataset, labels(trainer), "early", epochs=3)
    file = tmp_path / "run.ckpt"
    trainer.train(dataset, labels(trainer), "early", epochs=3, checkpoint=file, stop_after=4)
    assert file.exists()
    resumed = trainer.train(dataset, labels(trainer), "early", epochs=3, checkpoint=file)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    found = trainer.evaluate(resumed, dataset, labels(trainer))
    assert found["confusion"].sum() == found["windows"] > 20


def test_no_video_is_on_both_sides(labelled: tuple[Path, Path]) -> None:
    trainer = module("train_fusion")
    sides = []
    for test in (False, True):
        data = trainer.windows(Dataset.open(str(labelled[0])), labels(trainer), test, batch_size=16)
        sides.append({video for batch in data for video in batch["video_id"]})
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 60


@pytest.mark.slow
def test_two_processes_train_together(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    script = (
        "import sys, torch, train_fusion as t\n"
        "from reelbeam.pipeline.read import Dataset\n"
        "torch.distributed.init_process_group('gloo'); torch.set_num_threads(1)\n"
        "labels = t.Labels(['a', 'b', 'c'], {f'{v:016x}': v % 3 for v in range(60)})\n"
        "made = t.train(Dataset.open(sys.argv[1]), labels, 'early', epochs=2)\n"
        "torch.save(made.state_dict(), f'{sys.argv[2]}/{t._rank()}.pt'); torch.distributed.destroy_process_group()\n"
    )
    (tmp_path / "run.py").write_text(f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n{script}")
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", str(tmp_path / "run.py")]
    subprocess.run([sys.executable, *command, str(labelled[0]), str(tmp_path)], check=True, timeout=240)
    left, right = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert all(torch.equal(left[name], right[name]) for name in left)

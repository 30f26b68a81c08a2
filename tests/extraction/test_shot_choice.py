"""A dataset goes on with the shot detector that it was made with."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.tensors import tensor

OFFLINE = ["--models", "offline"]


def film(path: Path) -> None:
    """12 s in two shots, a dissolve between them: ffmpeg's scene score sees none."""
    scenes = (
        "mandelbrot=s=160x90:r=10[a];testsrc=s=160x90:r=10[b];[a]trim=duration=7[c];[b]trim=duration=7[d];"
        "[c][d]xfade=duration=1.5:offset=5.5"
    )
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", scenes, "-t", "12", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True, timeout=60)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    film(folder / "a.mp4")
    return folder


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    """A dataset as versions before the choice made it."""
    output = tmp_path_factory.mktemp("old") / "features"
    assert main(["extract", str(bucket), str(output), *OFFLINE, "--shots", "scene"]) == 0
    assert "shots" not in Dataset.open(str(output)).snapshot.options
    return output


def table(output: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(output / shard.path) for shard in Dataset.open(str(output)).snapshot.shards])


def test_a_new_dataset_is_made_with_the_adaptive_detector_and_only_shot_differs(
    bucket: Path, old: Path, tmp_path: Path
) -> None:
    assert main(["extract", str(bucket), str(tmp_path / "new"), *OFFLINE]) == 0
    assert Dataset.open(str(tmp_path / "new")).snapshot.options["shots"] == "adaptive"
    new, before = table(tmp_path / "new"), table(old)
    assert tensor(new, "shot").max() == 1
    assert tensor(before, "shot").max() == 0
    assert [name for name in new.schema.names if not new[name].equals(before[name])] == ["shot"]


def test_an_old_dataset_goes_on_with_the_scene_score(bucket: Path, old: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "features", tmp_path / "more"
    shutil.copytree(old, output)
    shutil.copytree(bucket, more)
    film(more / "b.mp4")
    before = Dataset.open(str(output)).snapshot.fingerprint
    assert main(["extract", str(more), str(output), *OFFLINE]) == 0
    assert Dataset.open(str(output)).snapshot.fingerprint == before
    assert tensor(table(output), "shot").max() == 0


def test_another_detector_than_the_dataset_has_is_refused_by_name(
    bucket: Path, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", str(bucket), str(old), *OFFLINE, "--shots", "adaptive"]) == 2
    assert "shots: stored scene, asked adaptive" in capsys.readouterr().err


def test_remodel_finds_the_shots_of_an_old_dataset_anew(bucket: Path, old: Path, tmp_path: Path) -> None:
    output = tmp_path / "features"
    shutil.copytree(old, output)
    assert main(["nightly", str(bucket), str(output), *OFFLINE, "--shots", "adaptive", "--remodel"]) == 0
    assert tensor(table(output), "shot").max() == 1
    last = sorted((output / "snapshots").glob("*.json"))[-1]
    assert json.loads(last.read_text())["options"]["shots"] == "adaptive"

"""The example plug-in, installed as its README says: extracted, remodelled alone, read, exported, verified and purged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY

from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.tensors import tensor

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
OFFLINE = ("--models", "offline")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plug-in is installed."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(
        REPOSITORY / "examples" / "plugin_sense", tmp_path_factory.mktemp("source") / "plugin_sense"
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(source)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    for name in ("desk.mp4", "radio_story.m4a"):
        shutil.copy(SAMPLES / name, folder / name)
    return folder


def reelbeam(site: Path | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({"PYTHONPATH": str(site)} if site else {})}
    command = [sys.executable, "-m", "reelbeam.pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)


def rows_of(output: Path) -> pa.Table:
    dataset = Dataset.open(str(output))
    names = [field.name for field in pq.read_schema(output / dataset.snapshot.shards[0].path)]
    return pa.Table.from_batches([batch for _, batch in dataset.batches(names)]).combine_chunks()


@pytest.mark.slow
def test_a_plug_in_lives_on_the_clock_like_a_built_in_sense(site: Path, bucket: Path, tmp_path: Path) -> None:
    plain, output = tmp_path / "plain", tmp_path / "output"
    assert reelbeam(site, "extract", bucket, plain, *OFFLINE).returncode == 0
    shutil.copytree(plain, output)

    refused = reelbeam(site, "nightly", bucket, output, *OFFLINE, "--senses", "+looks")
    assert refused.returncode == 2
    assert "looks: stored not given" in refused.stderr
    assert "--remodel" in refused.stderr

    added = reelbeam(
        site, "nightly", bucket, output, *OFFLINE, "--senses", "+looks", "--remodel", "--profile", tmp_path / "p"
    )
    assert added.returncode == 0, added.stderr
    assert "remodelled: looks; 1 videos decoded again" in added.stdout
    stages = json.loads((tmp_path / "p").read_text())["stages"]
    assert not {"embed_frames", "transcribe", "embed_text"} & set(stages), "neither CLIP nor Whisper ran"
    before, after = rows_of(plain), rows_of(output)
    assert after.select(before.schema.names).equals(before), "all other columns are equal byte for byte"
    seen = tensor(after, "tick_valid").astype(bool)
    assert (tensor(after, "phash") != 0)[seen].all()
    assert not tensor(after, "phash")[~seen].any()
    assert after["looks_status"].to_pylist() == ["ok" if row.any() else "absent" for row in seen]

    assert reelbeam(None, "verify", output).returncode == 0, "read without the plug-in"
    assert "looks" in reelbeam(None, "status", output).stdout
    missing = reelbeam(None, "nightly", bucket, output, *OFFLINE)
    assert missing.returncode == 2
    assert "the sense looks is not at hand" in missing.stderr
    assert reelbeam(site, "nightly", bucket, output, *OFFLINE).returncode == 0
    assert reelbeam(None, "export", output, tmp_path / "view", "--as", "npy").returncode == 0
    [colours] = list((tmp_path / "view").rglob("colours.npy"))
    assert np.load(colours).shape == (len(after), 10, 3, 3)

    purged = shutil.copytree(output, tmp_path / "purged")
    assert reelbeam(None, "purge", purged, bucket / "desk.mp4", "--sweep-after-h", "0").returncode == 0
    assert reelbeam(None, "verify", purged).returncode == 0
    assert set(rows_of(purged)["looks_status"].to_pylist()) == {"absent"}

    dropped = reelbeam(None, "nightly", bucket, output, *OFFLINE, "--senses", "-looks", "--remodel")
    assert dropped.returncode == 0, dropped.stderr
    assert rows_of(output).equals(before)


def test_models_lists_the_senses_at_hand(site: Path) -> None:
    assert "+looks: Perceptual hash and dominant colours." in reelbeam(site, "models").stdout
    assert "looks" not in reelbeam(None, "models").stdout


def test_a_package_that_cannot_be_loaded_is_named(site: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(site, tmp_path / "broken")
    (broken / "reelbeam_looks.py").write_text("raise ImportError('no such library')")
    found = reelbeam(broken, "extract", SAMPLES, tmp_path / "out", *OFFLINE, "--senses", "looks")
    assert found.returncode == 2
    assert (
        "the sense looks of the package reelbeam-looks cannot be loaded: ImportError: no such library" in found.stderr
    )

"""Stored thumbnails show the frames of their ticks, outlive the videos, follow purges, and come to datasets that had none."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from nights import World
from PIL import Image

from reelbeam.models.thumbnails import SIDE_PX
from reelbeam.pipeline.answers import FramePictures
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.explorer import Explorer, make_app
from reelbeam.pipeline.playing import frame_at
from reelbeam.schemas.tensors import tensor

MOST_DIFFERENCE = 6.0
"""Mean over all bytes: WebP of quality 60 on a test picture with hard edges."""


def pixels(picture: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    return np.asarray(image.resize(size, Image.Resampling.BOX) if size else image, float)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> World:
    """One wide and one upright video with thumbnails."""
    bucket = tmp_path_factory.mktemp("bucket")
    shutil.copy(make_video("wide.mp4", 12.5, "640x360"), bucket / "wide.mp4")
    shutil.copy(make_video("upright.mp4", 3, "180x320"), bucket / "upright.mp4")
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night("--thumbnails") == 0
    return made


def frames(dataset: Dataset) -> list[tuple[int, int, str, int]]:
    """(row, tick, uri, ms) of every stored frame."""
    found = []
    for numbers, batch in dataset.batches(["uri", "tick_valid", "tick_pts_ms"]):
        valid, pts_ms = tensor(batch, "tick_valid"), tensor(batch, "tick_pts_ms")
        for at, tick in np.argwhere(valid).tolist():
            found.append((int(numbers[at]), tick, batch["uri"][at].as_py(), int(pts_ms[at, tick])))
    return found


def test_each_stored_picture_is_the_frame_of_its_tick(world: World) -> None:
    pictures = FramePictures.of(world.data)
    shown: dict[str, list[np.ndarray]] = {}
    for row, tick, uri, at_ms in frames(world.data):
        picture = pictures.picture(row, tick)
        assert picture is not None
        assert picture[:4] == b"RIFF"
        small = pixels(picture)
        height, width = small.shape[:2]
        assert max(height, width) == SIDE_PX if uri.endswith("wide.mp4") else (height, width) == (256, 144)
        exact = frame_at(Path(uri), max(0, at_ms - 1), 360 if width > height else 320)
        assert exact is not None
        assert np.abs(small - pixels(exact, (width, height))).mean() < MOST_DIFFERENCE
        shown.setdefault(uri, []).append(small)
    for several in shown.values():
        assert all(np.abs(one - two).mean() > 1 for one, two in pairwise(several))
    assert {Path(uri).name: len(several) for uri, several in shown.items()} == {"wide.mp4": 13, "upright.mp4": 3}


def test_pages_have_pictures_when_the_videos_are_gone_and_none_after_a_purge(world: World, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(world.output, output)
    hidden = world.bucket.rename(world.bucket.with_name("hidden"))
    try:
        explorer = Explorer(str(output))
        client = TestClient(make_app(explorer), "http://localhost")
        addresses = {uri: f"/api/frames/{row}/{tick}.jpg" for row, tick, uri, _ in frames(world.data)}
        for address in addresses.values():
            answer = client.get(address)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
            assert pixels(answer.content).shape[2] == 3
        page = tmp_path / "video.html"
        assert main(["timeline", str(output), "wide.mp4", "--html", str(page), "--png", str(tmp_path / "a.png")]) == 0
        assert page.read_text().count("data:image/webp;base64,") == 13
        assert main(["purge", str(output), str(world.bucket / "wide.mp4")]) == 0
        explorer._looked_at = 0
        for uri, address in addresses.items():
            assert client.get(address).status_code == (404 if uri.endswith("wide.mp4") else 200)
    finally:
        hidden.rename(world.bucket)
    stored = [pq.read_table(file) for file in output.glob("windows/*/*.parquet")]
    assert {Path(uri).name for table in stored for uri in table["uri"].to_pylist()} == {"upright.mp4"}


def test_they_come_to_a_dataset_that_had_none_and_nothing_else_changes(world: World, tmp_path: Path) -> None:
    made = World(world.bucket, tmp_path / "features")
    assert made.night() == 0

    def rows() -> pa.Table:
        [shard] = made.data.snapshot.shards
        return pq.read_table(made.output / shard.path)

    before = rows()
    assert made.night("--thumbnails", "--remodel") == 0
    after = rows()
    added = set(after.schema.names) - set(before.schema.names)
    assert added == {"thumbnail", "thumbnail_end", "thumbnails_status"}
    for name in before.schema.names:
        assert after[name].combine_chunks().equals(before[name].combine_chunks()), name
    assert set(after["thumbnails_status"].to_pylist()) == {"ok"}
    assert made.verified()
    pictures = FramePictures.of(made.data).stored
    assert all(pictures.webp(row, tick) for row, tick, _, _ in frames(made.data))
    assert made.night() == 0, "a dataset keeps the senses that it was made with"
    assert "thumbnail" in rows().schema.names


def test_they_are_exported(world: World, tmp_path: Path) -> None:
    for kind in ("lists", "npy", "webdataset", "csv"):
        assert main(["export", str(world.output), str(tmp_path / kind), "--as", kind]) == 0
    [lengths] = tmp_path.glob("npy/*/thumbnail_bytes.npy")
    [pictures] = tmp_path.glob("npy/*/thumbnail.bin")
    assert pictures.stat().st_size == np.load(lengths).sum() > 0
    [csv] = tmp_path.glob("csv/*.csv")
    assert "thumbnail," not in csv.read_text().splitlines()[0]

"""Drawings of timelines and maps show what is stored, where it belongs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.made import made_rows, put_snapshot
from reelbeam.models.audio import FEATURES
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.rendering import map_files, timeline_drawing
from reelbeam.pipeline.rendering.drawing import Box, Dot, Label, Mark, Picture, size_of, write_png
from reelbeam.pipeline.surveys import map_points
from reelbeam.pipeline.surveys.frame_points import axes
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor

SHAPE = RowShape(ticks=4, frame_dim=8, audio_dim=len(FEATURES), text_dim=6)
GRID = Grid(Fraction(2), 4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("features")
    snapshot = put_snapshot(folder, [made_rows(12, 3, SHAPE, [3, 4, 5])], SHAPE)
    return replace(Dataset.open(str(folder)), snapshot=replace(snapshot, grid=GRID))


def of_kind(marks: list[Mark], kind: type) -> list:
    return [mark for mark in marks if isinstance(mark, kind)]


def test_a_timeline_puts_frames_words_and_sound_at_their_time(dataset: Dataset) -> None:
    rows = timeline_drawing.rows_of(dataset, f"{1:016x}")
    assert rows["window"].to_pylist() == [0, 1, 2, 3]
    asked: list[int] = []
    jpeg = b"not looked at"
    marks = timeline_drawing.timeline(rows, GRID, lambda at_ms: (asked.append(at_ms), jpeg)[1])
    pts_ms = tensor(rows, "tick_pts_ms")[tensor(rows, "tick_valid").astype(bool)].tolist()
    assert asked == pts_ms
    per_ms = timeline_drawing.TICK_PX * 2 / 1000
    assert [mark.x for mark in of_kind(marks, Picture)] == pytest.approx(
        [timeline_drawing.LEFT_PX + per_ms * at_ms for at_ms in pts_ms]
    )
    words = [word for row in rows["words"].to_pylist() for word in row]
    shown = [mark for mark in of_kind(marks, Label) if mark.text == "hello"]
    assert len(shown) == len(words) > 0
    assert [mark.x for mark in shown] == pytest.approx(
        [timeline_drawing.LEFT_PX + per_ms * word["start_ms"] + 1 for word in words]
    )
    assert len([mark for mark in of_kind(marks, Box) if mark.colour == timeline_drawing.SOUND_COLOUR]) == 16


def test_a_timeline_without_the_video_shows_places(dataset: Dataset) -> None:
    marks = timeline_drawing.timeline(timeline_drawing.rows_of(dataset, f"{1:016x}"), GRID, lambda at_ms: None)
    assert not of_kind(marks, Picture)
    assert len([mark for mark in of_kind(marks, Box) if mark.colour == "#cccccc"]) > 10


def test_a_removed_video_has_no_timeline(dataset: Dataset) -> None:
    [shard] = dataset.snapshot.shards
    gone = replace(dataset, snapshot=replace(dataset.snapshot, shards=(replace(shard, removed=(f"{1:016x}",)),)))
    with pytest.raises(UsageError, match="no windows"):
        timeline_drawing.rows_of(gone, f"{1:016x}")


def test_axes_are_numpys_principal_components() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 6)) * [5, 1, 3, 1, 1, 1]
    mean, directions = axes(vectors)
    np.testing.assert_allclose(mean, vectors.mean(0))
    _, _, wanted = np.linalg.svd(vectors - vectors.mean(0))
    np.testing.assert_allclose(np.abs(directions), np.abs(wanted[:2]), atol=1e-6)


def test_a_map_has_a_dot_a_frame_in_the_colour_of_its_video(dataset: Dataset) -> None:
    marks, title = map_files.draw_map(dataset, 1000)
    valid = sum(int(tensor(batch, "tick_valid").sum()) for _, batch in dataset.batches(["tick_valid"]))
    dots = of_kind(marks, Dot)
    assert len(dots) == valid
    assert title == f"{valid} of {valid} frames"
    points = map_points(dataset)
    assert len({dot.colour for dot in dots}) == len(points.video_ids) == 3
    assert np.corrcoef([dot.x for dot in dots], points.x)[0, 1] == pytest.approx(1)
    assert np.corrcoef([dot.y for dot in dots], points.y)[0, 1] == pytest.approx(-1)


def test_a_picture_opens(dataset: Dataset, tmp_path: Path) -> None:
    marks = timeline_drawing.timeline(timeline_drawing.rows_of(dataset, f"{1:016x}"), GRID, lambda at_ms: None)
    write_png(marks, "title", tmp_path / "shown.png")
    with Image.open(tmp_path / "shown.png") as image:
        assert image.size == size_of(marks)
        assert image.text["Title"] == "title"
        assert len(image.getcolors(1 << 20)) > 3


def test_the_map_command_writes_both(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture = tmp_path / "map.html", tmp_path / "map.png"
    root = dataset.storage.root
    assert main(["map", root, "--html", str(page), "--png", str(picture), "--frames", "10"]) == 0
    assert "map.html" in capsys.readouterr().out
    [points] = re.findall(r'<script type="application/json" id="map-points">(.*?)</script>', page.read_text())
    assert 3 <= len(json.loads(points)["x"]) <= 10
    assert main(["map", root]) == 2
    assert main(["timeline", root, "nobody.mp4", "--html", str(page)]) == 2
    assert "no video 'nobody.mp4'" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("--html", "--png"):
        assert main(["map", dataset.storage.root, flag, str(tmp_path / "none" / "map")]) == 2
        assert f"{flag} {tmp_path}/none/map" in capsys.readouterr().err

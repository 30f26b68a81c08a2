"""Points of the map are true frames, bounded in number, and like frames share a cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.dataset import Dataset
from reelbeam.pipeline.surveys import frame_points as points
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.tables import RowShape

SHAPE = RowShape(ticks=4, frame_dim=8, audio_dim=3, text_dim=6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("features")
    put_snapshot(folder, [made_rows(40, 3, SHAPE), made_rows(20, 4, SHAPE)], SHAPE, group_bytes=2_000)
    return Dataset.open(str(folder))


def is_true(dataset: Dataset, found: points.MapPoints) -> None:
    """Every point is a frame of the dataset: its row and tick hold one, at that time, of that video."""
    held = dataset.take(found.row, ["video_id", "uri", "tick_valid", "tick_pts_ms", "language"])
    assert len(set(zip(found.row, found.tick, strict=True))) == len(found)
    for at, row in enumerate(found.row):
        assert held[row]["tick_valid"][found.tick[at]]
        assert held[row]["tick_pts_ms"][found.tick[at]] == found.at_ms[at]
        assert held[row]["video_id"] == found.video_ids[found.video[at]]
        assert held[row]["uri"] == found.uris[found.video[at]]
        assert held[row]["language"] == found.languages[found.language[at]]


def test_all_frames_of_a_small_dataset_are_points(dataset: Dataset) -> None:
    found = points.map_points(dataset)
    assert len(found) == found.of_frames == dataset.snapshot.counts["frames"]
    is_true(dataset, found)
    assert 0 <= min(found.x + found.y) <= max(found.x + found.y) <= 1
    assert max(found.x) - min(found.x) == pytest.approx(1, abs=1e-3)


def test_a_large_dataset_gives_a_sample_that_reaches_over_all_of_it(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 50 < len(points.map_points(dataset, 100)) <= 100
    monkeypatch.setattr(points, "MOST_READ_ROWS", 20)
    monkeypatch.setattr(points, "STRETCHES", 5)
    found = points.map_points(dataset, 40)
    is_true(dataset, found)
    assert 20 <= len(found) <= 40
    assert min(found.row) < 10
    assert max(found.row) >= 48


def test_clusters_part_what_is_apart_and_the_largest_comes_first() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], [10, 30, 20])
    vectors = np.eye(8)[groups] + rng.normal(size=(60, 8)) * 0.02
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = points.clusters_of(vectors, 3)
    assert found.tolist() == [[2, 0, 1][group] for group in groups]
    assert points.clusters_of(np.ones((5, 2), np.float32), 4).tolist() == [0] * 5


def test_a_dataset_without_frames_says_what_cures_it(tmp_path: Path) -> None:
    put_snapshot(tmp_path, [], SHAPE)
    with pytest.raises(UsageError, match="a map needs 3"):
        points.map_points(Dataset.open(str(tmp_path)))


def test_what_differs_lies_apart() -> None:
    two = np.repeat(np.eye(4)[:2], 10, axis=0) + np.random.default_rng(0).normal(size=(20, 4)) * 0.01
    mean, directions = points.axes(two)
    x = points.scaled((two - mean) @ directions.T)[:, 0]
    assert abs(x[:10].mean() - x[10:].mean()) > 10 * max(x[:10].std(), x[10:].std())

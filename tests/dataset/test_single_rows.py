"""Single rows are read once: their row groups stay in memory within a bound, and are those of the file that is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from object_store import FaultyProxy, s3_server, use_s3

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.group_cache import GroupCache, read_files
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape

SHAPE = RowShape(10, 64, 8, 16, 0, 0)
COLUMNS = ["video_id", "text", "words", "tick_pts_ms"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("made")
    put_snapshot(folder, [made_rows(300, part, SHAPE) for part in range(3)], SHAPE, group_bytes=20_000)
    return Dataset.open(str(folder))


def files_of(dataset: Dataset, places: list[int]) -> list[tuple[str, int, list[int]]]:
    return [(shard.path, shard.bytes, places) for shard in dataset.snapshot.shards]


@pytest.fixture
def remote(made: Dataset, tmp_path: Path) -> Iterator[tuple[Dataset, FaultyProxy]]:
    with (
        s3_server(tmp_path, ("data",)) as endpoint,
        FaultyProxy(endpoint) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        use_s3(patch, proxy.endpoint)
        storage = Storage.at("s3://data/rows")
        for file in (file for file in Path(made.storage.root).rglob("*") if file.is_file()):
            storage.put_file(str(file.relative_to(made.storage.root)), file)
        yield Dataset.open("s3://data/rows"), proxy


def test_rows_that_were_read_are_not_asked_for_again(remote: tuple[Dataset, FaultyProxy], made: Dataset) -> None:
    dataset, proxy = remote
    picked = [3, 299, 300, 650]
    first = dataset.take(picked, COLUMNS)
    proxy.counts.clear()
    again = dataset.take(picked, COLUMNS)
    assert proxy.counts["requests"] == 0
    fewer = dataset.take(picked, ["words"])
    assert proxy.counts["requests"] == 0, "a part of the columns is held too"
    dataset.take(picked, ["words", "language"])
    assert proxy.counts["requests"] == 4, "one more column is one request per row group"
    expected = made.take(picked, COLUMNS)
    for number in picked:
        assert first[number]["words"] == again[number]["words"] == fewer[number]["words"] == expected[number]["words"]
        assert np.array_equal(again[number]["tick_pts_ms"], expected[number]["tick_pts_ms"])


def test_single_rows_are_those_of_a_scan(made: Dataset) -> None:
    scanned = {
        number: row
        for numbers, batch in made.batches(["video_id", "text", "words"])
        for number, row in zip(numbers.tolist(), batch.to_pylist(), strict=True)
    }
    for _ in range(2):
        assert made.take(range(-3, 2000, 7), ["video_id", "text", "words"]) == {
            number: row for number, row in scanned.items() if (number + 3) % 7 == 0
        }


def test_the_cache_stays_within_its_bound_and_drops_what_was_used_longest_ago(made: Dataset) -> None:
    cache = GroupCache(limit_bytes=10_000)
    for place in (0, 80, 160, 240, 299, 0):
        read_files(made.storage, files_of(made, [place]), ["text", "tick_pts_ms"], cache)
        assert 0 < cache.held_bytes <= 10_000
    roomy = GroupCache()
    read_files(made.storage, files_of(made, list(range(300))), ["text", "tick_pts_ms"], roomy)
    assert roomy.held_bytes > 10_000, "the bound must bite for this test to mean something"
    none = GroupCache(limit_bytes=0)
    [[(start, group)], *_] = read_files(made.storage, files_of(made, [0]), ["text"], none)
    assert (start, none.held_bytes, list(group.columns)) == (0, 0, ["text"])


def test_a_file_that_was_replaced_or_is_gone_is_noticed(made: Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(made.storage.root, tmp_path / "copy")
    dataset = Dataset.open(str(folder))
    columns = ["video_id", "audio_feature"]
    before = dataset.take([0], columns)[0]
    shard, other = dataset.snapshot.shards[0], made.snapshot.shards[1]
    shutil.copyfile(Path(made.storage.root, other.path), folder / shard.path)
    moved = Dataset(dataset.storage, dataset.snapshot)
    after, other_row = moved.take([0], columns)[0], made.take([300], columns)[300]
    assert not np.array_equal(after["audio_feature"], before["audio_feature"])
    assert np.array_equal(after["audio_feature"], other_row["audio_feature"])
    (folder / shard.path).unlink()
    with pytest.raises(FileNotFoundError):
        dataset.take([0], ["text"])

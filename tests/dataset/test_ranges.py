"""What is read from a bucket are the byte ranges that were asked for, and the rows are those of the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_store import FaultyProxy, s3_server, use_s3

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.errors import CorruptOutput
from reelbeam.schemas.local_cache import LocalCache
from reelbeam.schemas.parquet_ranges import open_parquet
from reelbeam.schemas.spans import coalesce, cut
from reelbeam.schemas.storage import Storage, file_sha256
from reelbeam.schemas.tables import RowShape

SHAPE = RowShape(10, 64, 8, 16, 0, 0)
ROWS = 2000


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyProxy]:
    folder = tmp_path_factory.mktemp("s3")
    with (
        s3_server(folder, ("data",)) as endpoint,
        FaultyProxy(endpoint) as counting,
        pytest.MonkeyPatch.context() as patch,
    ):
        use_s3(patch, counting.endpoint)
        yield counting


@pytest.fixture(scope="module")
def twins(proxy: FaultyProxy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """The same dataset on disk and in the bucket."""
    local = tmp_path_factory.mktemp("local")
    put_snapshot(local, [made_rows(ROWS, part, SHAPE) for part in range(2)], SHAPE, group_bytes=200_000)
    remote = Storage.at("s3://data/out")
    for file in (file for file in local.rglob("*") if file.is_file()):
        remote.put_file(str(file.relative_to(local)), file)
    return Dataset.open(str(local)), Dataset.open("s3://data/out")


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 50)), max_size=20), st.integers(0, 30))
def test_spans_are_covered_by_few_requests_and_cut_out_exactly(asked: list[tuple[int, int]], gap: int) -> None:
    content = bytes(np.random.default_rng(0).integers(0, 255, 600, np.uint8))
    wanted = [(start, start + length) for start, length in asked if length]
    spans = coalesce(wanted, gap)
    assert all(after[0] - before[1] > gap for before, after in pairwise(spans))
    pieces = [content[start:end] for start, end in spans]
    for start, end in wanted:
        assert cut(spans, pieces, start, end) == content[start:end]


def test_rows_of_a_bucket_are_those_of_the_disk(twins: tuple[Dataset, Dataset]) -> None:
    local, remote = twins
    columns = ["video_id", "text", "tick_pts_ms", "words"]
    for (numbers, batch), (others, other) in zip(local.batches(columns), remote.batches(columns), strict=True):
        assert np.array_equal(numbers, others)
        assert batch.equals(other)
    picked = [3, 1999, 2000, 3500]
    mine, theirs = local.take(picked, columns), remote.take(picked, columns)
    assert mine.keys() == theirs.keys() == set(picked)
    assert all(mine[at]["words"] == theirs[at]["words"] for at in picked)


def test_single_rows_cost_their_row_group_and_not_the_file(twins: tuple[Dataset, Dataset], proxy: FaultyProxy) -> None:
    _, remote = twins
    whole = sum(shard.bytes for shard in remote.snapshot.shards)
    remote.take([0], ["text"])  # the footer
    proxy.counts.clear()
    remote.take([1500], ["text", "tick_pts_ms"])
    assert 0 < proxy.counts["answered_bytes"] < whole / 50
    assert proxy.counts["requests"] <= 3


def test_single_embeddings_cost_themselves_and_not_their_row_group(
    twins: tuple[Dataset, Dataset], proxy: FaultyProxy
) -> None:
    local, remote = twins
    columns, picked = ["frame_embedding", "tick_valid"], [0, 7, 1999, 2000, 3501, 9999]
    remote.take(picked, ["tick_valid"])
    proxy.counts.clear()
    mine, theirs = local.take(picked, columns), remote.take(picked, columns)
    assert list(mine) == list(theirs) == [0, 7, 1999, 2000, 3501]
    for row in mine:
        assert np.array_equal(mine[row]["frame_embedding"], theirs[row]["frame_embedding"])
        assert theirs[row]["frame_embedding"].dtype == np.float16
    assert proxy.counts["answered_bytes"] < 5 * (SHAPE.ticks * SHAPE.frame_dim * 2 + 100) + 20_000


def test_embeddings_that_do_not_lie_as_they_are_are_read_all_the_same(proxy: FaultyProxy, tmp_path: Path) -> None:
    put_snapshot(tmp_path, [made_rows(50, 9, SHAPE)], SHAPE)
    [file] = tmp_path.glob("windows/*/*.parquet")
    table = pq.read_table(file)
    pq.write_table(table, file, compression="zstd")
    local = Dataset.open(str(tmp_path))
    [shard] = local.snapshot.shards
    resized = replace(shard, bytes=file.stat().st_size)
    remote = Dataset(Storage.at("s3://data/packed"), replace(local.snapshot, shards=(resized,)))
    remote.storage.put_file(shard.path, file)
    columns = ["frame_embedding", "tick_valid"]
    mine, theirs = local.take([3, 40], columns), remote.take([3, 40], columns)
    for row in (3, 40):
        assert np.array_equal(mine[row]["frame_embedding"], theirs[row]["frame_embedding"])


def test_a_column_costs_its_own_bytes(twins: tuple[Dataset, Dataset], proxy: FaultyProxy) -> None:
    _, remote = twins
    shard = remote.snapshot.shards[0]
    with open_parquet(remote.storage, shard.path, shard.bytes) as parquet:
        column = sum(
            chunk.total_compressed_size
            for group in range(parquet.footer.num_row_groups)
            for at in range(parquet.footer.num_columns)
            if (chunk := parquet.footer.row_group(group).column(at)).path_in_schema == "tick_valid"
        )
    proxy.counts.clear()
    list(remote.shard_batches(shard, ["tick_valid"]))
    assert proxy.counts["answered_bytes"] <= column + 100


def test_a_file_without_rows_has_no_batches(tmp_path: Path, proxy: FaultyProxy) -> None:
    pq.write_table(made_rows(3, 0, SHAPE).slice(0, 0), tmp_path / "empty.parquet")
    storage = Storage.at("s3://data/empty")
    storage.put_file("empty.parquet", tmp_path / "empty.parquet")
    with open_parquet(storage, "empty.parquet", (tmp_path / "empty.parquet").stat().st_size) as parquet:
        assert not list(parquet.batches(10, ["text"]))


def test_the_cache_fetches_once_checks_and_stays_within_its_bound(tmp_path: Path, proxy: FaultyProxy) -> None:
    storage = Storage.at("s3://data/cached")
    contents = {f"{number}.bin": bytes([number]) * 1000 for number in range(4)}
    hashes = {}
    for name, content in contents.items():
        storage.put(name, content)
        (tmp_path / name).write_bytes(content)
        hashes[name] = file_sha256(tmp_path / name)
    cache = LocalCache(tmp_path / "cache", 2500)
    for name, content in contents.items():
        assert cache.file(storage, name, hashes[name]).read_bytes() == content
    proxy.counts.clear()
    assert cache.file(storage, "3.bin", hashes["3.bin"]).read_bytes() == contents["3.bin"]
    assert not proxy.counts["requests"]
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 2
    with pytest.raises(CorruptOutput, match="has the hash"):
        cache.file(storage, "0.bin", hashes["1.bin"])

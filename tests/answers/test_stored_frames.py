"""A stored picture is read by its own bytes alone, wherever its row lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from object_store import FaultyProxy, s3_server, use_s3

from benchmarks.made import made_rows, put_snapshot
from reelbeam.models.thumbnails import ENDS, PICTURES, Thumbnails, record_of
from reelbeam.pipeline.answers import StoredFrames
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape

PLAIN = RowShape(ticks=4, frame_dim=8, audio_dim=3, text_dim=6)
SHAPE = replace(PLAIN, senses=(Thumbnails().stored(4),))


def with_pictures(rows: int, seed: int) -> tuple[pa.Table, list[dict[int, bytes]]]:
    """Made rows with made pictures of 1 to 3,000 bytes at some ticks, and these; a fifth of the rows has none."""
    rng = np.random.default_rng(seed)
    table, pictures, records = made_rows(rows, seed, PLAIN), [], []
    for row in range(rows):
        ticks = [] if row % 5 == 4 else [tick for tick in range(4) if tick != row % 4]
        pictures.append({tick: b"RIFF" + rng.bytes(int(rng.integers(1, 3000))) for tick in ticks})
        records.append(record_of(pictures[-1], 4) if ticks else None)
    columns = {
        PICTURES: [record and record[PICTURES] for record in records],
        ENDS: [record and record[ENDS].tobytes() for record in records],
        "thumbnails_status": ["ok" if record else "absent" for record in records],
    }
    for field in Thumbnails().stored(4).fields(6):
        table = table.append_column(field, pa.array(columns[field.name], field.type))
    return table, pictures


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, list[dict[int, bytes]]]:
    """Two shards of several row groups each."""
    folder = tmp_path_factory.mktemp("features")
    (first, some), (second, more) = with_pictures(40, 1), with_pictures(22, 2)
    put_snapshot(folder, [first, second], SHAPE, group_bytes=40_000)
    return Dataset.open(str(folder)), [*some, *more]


def test_every_picture_is_the_one_that_was_stored(stored: tuple[Dataset, list[dict[int, bytes]]]) -> None:
    dataset, pictures = stored
    frames = StoredFrames(dataset)
    for row, wanted in enumerate(pictures):
        assert [frames.webp(row, tick) for tick in range(4)] == [wanted.get(tick) for tick in range(4)]


def test_no_bytes_but_those_of_one_window_are_read_of_the_column(
    stored: tuple[Dataset, list[dict[int, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, pictures = stored
    spans: list[tuple[int, int]] = []
    real = Storage.get_spans

    def noted(self: Storage, path: str, asked: Any) -> Any:
        spans.extend(asked)
        return real(self, path, asked)

    monkeypatch.setattr(Storage, "get_spans", noted)
    monkeypatch.setattr(Dataset, "take", lambda *_: pytest.fail("the whole column chunk was read"))
    frames = StoredFrames(dataset)
    assert frames.webp(45, 0) == pictures[45][0]
    assert frames.webp(45, 3) == pictures[45][3]
    assert sum(end - start for start, end in spans) == 4 + sum(map(len, pictures[45].values()))


def test_a_file_that_is_laid_out_otherwise_is_read_all_the_same(
    stored: tuple[Dataset, list[dict[int, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, pictures = stored
    monkeypatch.setattr(Storage, "get_spans", lambda *_: [b"\0" * 5000])
    assert StoredFrames(dataset).webp(45, 0) == pictures[45][0]


def test_a_dataset_without_the_sense_has_none(tmp_path: Path) -> None:
    put_snapshot(tmp_path / "features", [made_rows(4, 1, PLAIN)], PLAIN)
    assert StoredFrames(Dataset.open(str(tmp_path / "features"))).webp(0, 0) is None


def test_of_a_bucket_a_picture_costs_its_window_and_the_lengths_beside_it(
    stored: tuple[Dataset, list[dict[int, bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, pictures = stored
    with s3_server(tmp_path, ("data",)) as endpoint, FaultyProxy(endpoint) as counting:
        use_s3(monkeypatch, counting.endpoint)
        remote, folder = Storage.at("s3://data/out"), Path(local.storage.root)
        for file in (file for file in folder.rglob("*") if file.is_file()):
            remote.put_file(str(file.relative_to(folder)), file)
        frames = StoredFrames(Dataset.open("s3://data/out"))
        assert frames.webp(3, 0) == pictures[3][0]  # reads the footer of the shard
        before, shard = counting.counts["answered_bytes"], local.snapshot.shards[0].bytes
        for row in (25, 25, 26):
            assert [frames.webp(row, tick) for tick in range(4)] == [pictures[row].get(tick) for tick in range(4)]
        wanted = sum(len(one) for row in (25, 26) for one in pictures[row].values())
        assert wanted <= counting.counts["answered_bytes"] - before < wanted + 2_000 < shard / 5

"""verify: proves that what is stored is what the snapshot promises: every hash, count, order and id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.errors import CorruptOutput
from ...schemas.snapshot import IndexInfo, ShardInfo, Snapshot, TableInfo
from ...schemas.storage import file_sha256
from ...schemas.tables import conformed, failures_schema, validate_windows, videos_schema
from ...schemas.vector_sources import VECTOR_SOURCES
from ..dataset import Dataset, count_videos, shard_ids, stored_file
from ..indexes import changes_since, open_searcher, read_manifest


def verify_dataset(dataset: Dataset) -> Iterator[str]:
    """Yields one line a problem; nothing at all is a proof."""
    rows: Counter[str] = Counter()
    yield from _numbers(dataset.snapshot)
    for shard in dataset.snapshot.shards:
        yield from _file(dataset, shard) or _shard(dataset, shard, rows)
    books = {"videos": videos_schema(dataset.snapshot.shape.text_dim), "failures": failures_schema()}
    for kind, schema in books.items():
        for info in getattr(dataset.snapshot, kind):
            broken = _file(dataset, info)
            yield from broken
            if not broken:
                with stored_file(dataset.storage, info.path) as file:
                    found = pq.read_schema(file)
                    if not conformed(found.empty_table(), schema).schema.equals(schema):
                        yield f"{info.path}: columns are {found.names}, wanted {schema.names}"
    yield from _books(dataset, rows)
    for name, built in dataset.snapshot.indexes.items():
        yield from check_index(dataset, name, built)


def _numbers(snapshot: Snapshot) -> Iterator[str]:
    """Every row number was given once: shards do not overlap, and with the holes they fill 0 to next_row."""
    runs = sorted((first, rows, shard.path) for shard in snapshot.shards for first, rows in shard.runs)
    end = 0
    for first, rows, path in runs:
        if first < end or (first > end and not snapshot.holes):
            yield f"{path}: first row is {first}, the shards before it end at {end}"
        end = first + rows
    if end > snapshot.next_row:
        yield f"snapshot {snapshot.number}: next_row is {snapshot.next_row}, shards end at {end}"
    held = sum(rows for _, rows, _ in runs)
    if held + snapshot.holes != snapshot.next_row or held != sum(shard.rows for shard in snapshot.shards):
        yield f"snapshot {snapshot.number}: {held} rows and {snapshot.holes} holes, next_row is {snapshot.next_row}"


def _file(dataset: Dataset, info: ShardInfo | TableInfo) -> list[str]:
    """A stored file's bytes, hash and row count against the snapshot."""
    try:
        with stored_file(dataset.storage, info.path) as file:
            size, digest = file.stat().st_size, file_sha256(file)
            if size != info.bytes or digest != info.sha256:
                return [
                    f"{info.path}: {size} bytes with sha256 {digest[:12]}, promised {info.bytes} with {info.sha256[:12]}"
                ]
            found = pq.ParquetFile(file).metadata.num_rows
            return [f"{info.path}: {found} rows, promised {info.rows}"] if found != info.rows else []
    except FileNotFoundError:
        return [f"{info.path}: is missing"]


def _shard(dataset: Dataset, shard: ShardInfo, rows: Counter[str]) -> Iterator[str]:
    """A shard's own promises; counts the rows of each video into `rows`."""
    with stored_file(dataset.storage, shard.path) as file:
        table = pq.read_table(file, memory_map=True)
    try:
        validate_windows(table, dataset.snapshot.shape)
    except CorruptOutput as error:
        yield f"{shard.path}: {error}"
        return
    keys = [(table["video_id"][at].as_py(), table["window"][at].as_py()) for at in (0, -1)]
    if keys != [shard.first_key, shard.last_key]:
        yield f"{shard.path}: keys run from {keys[0]} to {keys[1]}, promised {shard.first_key} to {shard.last_key}"
    held = Counter(table["video_id"].to_pylist())
    gone = sum(held.pop(video_id, 0) for video_id in shard.removed)
    if gone != shard.removed_rows:
        yield f"{shard.path}: {gone} removed rows, promised {shard.removed_rows}"
    if twice := set(held) & set(rows):
        yield f"{shard.path}: video {sorted(twice)[0]} has rows in another shard too"
    rows.update(held)


def _books(dataset: Dataset, rows: Counter[str]) -> Iterator[str]:
    """The counts, and each video's rows, against the videos table."""
    snapshot = dataset.snapshot
    try:
        videos = dataset.facts
    except (OSError, pa.ArrowException) as error:
        yield f"videos: cannot be read: {error}"
        return
    expected = count_videos(videos, sum(table.rows for table in snapshot.failures))
    for name, value in expected.items():
        if snapshot.counts.get(name) != value:
            yield f"snapshot {snapshot.number}: counts {name} {snapshot.counts.get(name)}, the tables say {value}"
    for video_id, row in videos.items():
        if rows[video_id] != row["windows"]:
            yield f"video {row['uri']}: {rows[video_id]} rows in the shards, {row['windows']} in the videos table"
    if strangers := set(rows) - set(videos):
        yield f"{len(strangers)} videos have rows and are not in the videos table, {sorted(strangers)[0]} first"


def check_index(dataset: Dataset, name: str, built: IndexInfo) -> Iterator[str]:
    """An index build: its files, its ids, and that each vector stands for a row."""
    try:
        manifest = read_manifest(dataset.storage, built)
        for part in manifest.parts:
            with stored_file(dataset.storage, part.path) as file:
                if file_sha256(file) != part.sha256:
                    yield f"{part.path}: its hash is not the promised one"
                    return
        searcher = open_searcher(dataset.storage, manifest)
    except CorruptOutput as error:
        yield f"index {name}: {error}"
        return
    except FileNotFoundError as error:
        yield f"index {name}: {error} is missing"
        return
    ids = searcher.ids()
    if len(ids) != built.vectors or len(np.unique(ids)) != len(ids):
        yield f"index {name}: holds {len(ids)} ids, {len(np.unique(ids))} different ones, promised {built.vectors}"
    of = VECTOR_SOURCES[manifest.of]
    for model, made_with in of.made_with(dataset.snapshot).items():
        if manifest.models.get(model) != made_with:
            yield f"index {name}: made with another {model} than the rows"
    change = changes_since(dataset, manifest) if manifest.covers is not None else None
    if change is not None and not change.added and not len(change.removed):
        real = np.concatenate(
            [np.zeros(0, np.int64), *(shard_ids(of, dataset.storage, shard) for shard in dataset.snapshot.shards)]
        )
        if not np.array_equal(np.sort(ids), np.sort(real)):
            yield f"index {name}: its ids are not those of the {of.called} in the shards"
    elif len(ids) and not 0 <= ids.min() <= ids.max() < dataset.snapshot.next_row * manifest.ids_a_row:
        yield f"index {name}: an id points outside the rows that ever were"

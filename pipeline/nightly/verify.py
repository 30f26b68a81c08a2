"""verify: proves that what is stored is what the snapshot promises: every hash, count, order and id."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...schemas.errors import CorruptOutput
from ...schemas.file_records import IndexInfo, ShardInfo, TableInfo
from ...schemas.local_cache import LocalCache
from ...schemas.snapshot import Snapshot
from ...schemas.storage import file_sha256
from ...schemas.tables import conformed, failures_schema, validate_windows, videos_schema
from ...schemas.vector_sources import VECTOR_SOURCES, WORDS
from ..dataset import FOLDERS, Dataset, batch_ids, count_videos, shard_ids, stored_file
from ..indexes import changes_since, open_searcher, read_manifest
from ..words import check_words, read_words_manifest


def verify_dataset(dataset: Dataset) -> Iterator[str]:
    """Yields one line per problem; nothing at all is a proof. Each stored file is read once."""
    rows: Counter[str] = Counter()
    indexes = dataset.snapshot.indexes
    ids: dict[str, list[np.ndarray]] = {built.of: [] for built in indexes.values() if built.of != WORDS}
    yield from _numbers(dataset.snapshot)
    for shard in dataset.snapshot.shards:
        with _opened(dataset, shard) as (problem, file):
            if file is None:
                yield problem
            else:
                yield from _shard(dataset, shard, pq.read_table(file, memory_map=True), rows, ids)
    tables = {"videos": videos_schema(dataset.snapshot.shape.text_dim), "failures": failures_schema()}
    for kind, schema in tables.items():
        for info in getattr(dataset.snapshot, kind):
            with _opened(dataset, info) as (problem, file):
                if file is None:
                    yield problem
                    continue
                found = pq.read_schema(file)
                if not conformed(found.empty_table(), schema).schema.equals(schema):
                    yield f"{info.path}: columns are {found.names}, wanted {schema.names}"
    yield from _counts(dataset, rows)
    for name, built in indexes.items():
        if built.of == WORDS:
            yield from check_words(dataset, name, built)
        else:
            yield from check_index(dataset, name, built, ids[built.of])


def verify_sizes(dataset: Dataset) -> Iterator[str]:
    """Yields one line per file that the snapshot names and that is missing or has another size. Lists, and reads no file."""
    snapshot = dataset.snapshot
    yield from _numbers(snapshot)
    held = {stored.path: stored.size_bytes for folder in FOLDERS for stored in dataset.storage.list(folder)}
    tables = (*snapshot.videos, *snapshot.failures)
    promised = {shard.path: shard.bytes for shard in snapshot.shards} | {info.path: info.bytes for info in tables}
    promised |= {manifest.path: manifest.bytes for manifest in snapshot.manifests}
    for name, built in snapshot.indexes.items():
        try:
            promised |= _index_sizes(dataset, built)
        except CorruptOutput as error:
            yield f"index {name}: {error}"
    for path, size in promised.items():
        if path not in held:
            yield f"{path}: is missing"
        elif held[path] != size:
            yield f"{path}: {held[path]} bytes, promised {size}"


def _index_sizes(dataset: Dataset, built: IndexInfo) -> dict[str, int]:
    """Sizes of a build's files, by path. Raises CorruptOutput."""
    if built.of == WORDS:
        words = read_words_manifest(dataset.storage, built)
        return {file.path: file.bytes for file in (*words.segments, words.ids)}
    return {part.path: part.bytes for part in read_manifest(dataset.storage, built).parts if part.bytes}


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


@contextmanager
def _opened(dataset: Dataset, info: ShardInfo | TableInfo) -> Iterator[tuple[str, Path | None]]:
    """A stored file on local disk, after its bytes, hash and row count were compared with the snapshot; or what is wrong."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(stored_file(dataset.storage, info.path))
            size, digest = file.stat().st_size, file_sha256(file)
        except FileNotFoundError:
            yield f"{info.path}: is missing", None
            return
        if size != info.bytes or digest != info.sha256:
            seen, wanted = f"{size} bytes with sha256 {digest[:12]}", f"{info.bytes} with {info.sha256[:12]}"
            yield f"{info.path}: {seen}, promised {wanted}", None
        elif (found := pq.read_metadata(file).num_rows) != info.rows:
            yield f"{info.path}: {found} rows, promised {info.rows}", None
        else:
            yield "", file


def _shard(
    dataset: Dataset, shard: ShardInfo, table: pa.Table, rows: Counter[str], ids: dict[str, list[np.ndarray]]
) -> Iterator[str]:
    """A shard's own promises. Counts the rows of each video into `rows`, and adds the ids of its vectors to `ids`."""
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
    counts = pc.invert(pc.is_in(table["video_id"], pa.array(shard.removed, pa.string())))
    numbers = shard.row_numbers()[counts.to_numpy(zero_copy_only=False)]
    for of, known in ids.items():
        source = VECTOR_SOURCES[of]
        [batch] = table.select(source.id_columns).filter(counts).combine_chunks().to_batches() or [None]
        if batch is not None:
            known.append(batch_ids(source, numbers, batch))


def _counts(dataset: Dataset, rows: Counter[str]) -> Iterator[str]:
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


def check_index(
    dataset: Dataset, name: str, built: IndexInfo, ids_there: list[np.ndarray] | None = None
) -> Iterator[str]:
    """An index build: its files, its ids, and that each vector stands for a row.

    `ids_there` are the ids int64 of the vectors in the shards, where the caller has read them.
    """
    try:
        manifest = read_manifest(dataset.storage, built)
        with tempfile.TemporaryDirectory(
            prefix="reelbeam-verify-"
        ) as folder:  # the bucket's bytes, not a cached copy's
            searcher = open_searcher(dataset.storage, manifest, cache=LocalCache.at(folder, bounded=False), check=True)
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
        if ids_there is None:
            ids_there = [shard_ids(of, dataset.storage, shard) for shard in dataset.snapshot.shards]
        real = np.concatenate([np.zeros(0, np.int64), *ids_there])
        if not np.array_equal(np.sort(ids), np.sort(real)):
            yield f"index {name}: its ids are not those of the {of.called} in the shards"
    elif len(ids) and not 0 <= ids.min() <= ids.max() < dataset.snapshot.next_row * manifest.ids_a_row:
        yield f"index {name}: an id points outside the rows that ever were"

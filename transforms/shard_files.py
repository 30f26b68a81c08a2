"""Writes the Parquet files of a dataset: to local disk first, then reads back, hashes and stores the whole file. No Beam."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas.errors import CorruptOutput
from ..schemas.file_records import ShardInfo, TableInfo
from ..schemas.storage import MULTIPART_BYTES, Storage, file_sha256

ROW_GROUP_BYTES = 8 << 20
"""Target size of a row group: of rows with 512 numbers per frame, about 700. A shuffling reader holds one in memory."""

ROW_GROUP_ROWS = 500
"""Most rows of a row group, where rows are small. A search reads one row out of each of ten groups, and decodes all words of each:
1 ms for 500 rows, 12 ms for 10,000."""


def write_windows(table: pa.Table, file: Path) -> None:
    """Writes one shard. Tensors and files are plain and uncompressed (one copy from disk to array), other columns zstd-compressed."""
    plain = [column.name for column in table.schema if _is_plain(column.type)]
    leaves = [leaf for column in table.schema if column.name not in plain for leaf in _leaves(column)]
    row_bytes = max(1, table.nbytes // max(1, len(table)))
    pq.write_table(
        table,
        file,
        row_group_size=min(ROW_GROUP_ROWS, max(1, ROW_GROUP_BYTES // row_bytes)),
        data_page_size=2
        * ROW_GROUP_BYTES,  # one page per row group in a tensor column, so that readers can memory-map it
        use_dictionary=["video_id", "uri", "language"],
        compression={**dict.fromkeys(plain, "NONE"), **dict.fromkeys(leaves, "ZSTD")},
        write_statistics=["video_id", "window", "start_ms", "end_ms"],
        store_schema=True,
    )


def _is_plain(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind)


def _leaves(column: pa.Field) -> list[str]:
    """The Parquet columns of an Arrow column: those of a list of records have its fields' names."""
    if pa.types.is_list(column.type) and pa.types.is_struct(column.type.value_type):
        return [f"{column.name}.list.element.{field.name}" for field in column.type.value_type]
    return [column.name]


def put_table(storage: Storage, path: str, table: pa.Table, write: Any = pq.write_table) -> TableInfo:
    """Writes a table to local disk, reads it back, and stores the whole file.

    Raises CorruptOutput when rows are missing, or when the store does not hold what was written.
    """
    with tempfile.TemporaryDirectory(prefix="reelbeam-write-") as folder:
        file = Path(folder, "table.parquet")
        write(table, file)
        found = pq.ParquetFile(file).metadata.num_rows
        if found != len(table):
            raise CorruptOutput(
                f"{path}: wrote {len(table)} rows, read back {found}; cure: check the local disk, then run again"
            )
        storage.put_file(path, file)
        info = TableInfo(path, len(table), file.stat().st_size, file_sha256(file))
        check_stored(storage, info, file)
        return info


def check_stored(storage: Storage, info: TableInfo, file: Path) -> None:
    """Raises CorruptOutput when a stored file differs from the local one that was put.

    Most stores give the MD5 of an object as its etag; from all others the object is read back.
    """
    if not storage.is_local and storage.head(info.path).etag.strip('"') == md5_etag(file, MULTIPART_BYTES):
        return
    if (found := storage.sha256(info.path)) != info.sha256:
        raise CorruptOutput(
            f"{storage.uri(info.path)} reads back with sha256 {found[:12]}, written was {info.sha256[:12]}; "
            "nothing was published; cure: run again, and look at the store if it repeats"
        )


def md5_etag(file: Path, part_bytes: int) -> str:
    """The etag that S3 gives an object: the MD5 of its bytes; when put in parts, the MD5 of the parts' MD5s and their number."""
    with open(file, "rb") as stream:
        if file.stat().st_size <= part_bytes:
            return hashlib.file_digest(stream, "md5").hexdigest()
        parts = [
            hashlib.md5(piece, usedforsecurity=False).digest() for piece in iter(lambda: stream.read(part_bytes), b"")
        ]
    return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


def put_windows(storage: Storage, path: str, table: pa.Table) -> ShardInfo:
    """Writes sorted rows as one shard. Row numbers are assigned at the commit."""
    info = put_table(storage, path, table.combine_chunks(), write_windows)
    keys = [(table["video_id"][at].as_py(), table["window"][at].as_py()) for at in (0, len(table) - 1)]
    return ShardInfo(path, info.rows, info.bytes, info.sha256, keys[0], keys[1])


def receipt_path(run: str) -> str:
    return f"runs/{run}.json"


def read_receipt(storage: Storage, run: str) -> tuple[list[ShardInfo], TableInfo, TableInfo | None]:
    """The files that a run wrote: (shards, videos table, failures table). A receipt exists only for a complete run."""
    receipt = json.loads(storage.get(receipt_path(run)))
    shards = [
        ShardInfo(
            **{**shard, "first_key": tuple(shard["first_key"]), "last_key": tuple(shard["last_key"]), "removed": ()}
        )
        for shard in receipt["shards"]
    ]
    return shards, TableInfo(**receipt["videos"]), TableInfo(**receipt["failures"]) if receipt["failures"] else None

"""Views of a snapshot for other tools: one file or folder per shard, kept up to date.

    lists       Parquet with tensors as (nested) lists of float32 or integers: SQL over single vectors
    npy         a folder a shard, one .npy a column; words as JSON; pictures one after the other in a .bin, with their lengths
    webdataset  a tar a shard: a row is `<row>.<column>.npy`, `<row>.json` and, of pictures, `<row>.<column>.bin`
    csv         numbers and text; words as JSON; no tensors, no pictures

All of them carry `row`, the global number for life. `export.json` names what each file was made from and is written
last: an export goes on from it, makes again what has changed or lost rows, and deletes what the snapshot has no more.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.addresses import is_remote
from ...schemas.errors import UsageError
from ...schemas.file_records import ShardInfo
from ...schemas.tensors import tensor
from ..dataset import Dataset, stored_file

log = logging.getLogger("reelbeam")

MANIFEST = "export.json"


def is_tensor(field: pa.Field) -> bool:
    return b"dtype" in (field.metadata or {})


def is_file(field: pa.Field) -> bool:
    """Whether its values are bytes, such as pictures."""
    return bool(pa.types.is_binary(field.type))


def as_lists(table: pa.Table, name: str) -> pa.Array:
    """A tensor column as nested lists: float16 as float32, which every engine reads. Null stays null."""
    values = tensor(table, name)
    flat = pa.array(values.ravel().astype(np.float32) if values.dtype == np.float16 else values.ravel())
    for size in reversed(values.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
        flat = flat.cast(pa.list_(flat.type.value_type))
    absent = table[name].is_null().to_numpy(zero_copy_only=False) if table[name].null_count else None
    if absent is None:
        return flat
    return pa.ListArray.from_arrays(flat.offsets, flat.values, mask=pa.array(absent))


def write_lists(table: pa.Table, file: Path) -> None:
    columns = [as_lists(table, field.name) if is_tensor(field) else table[field.name] for field in table.schema]
    pq.write_table(pa.table(dict(zip(table.schema.names, columns, strict=True))), file, compression="zstd")


def write_npy(table: pa.Table, folder: Path) -> None:
    folder.mkdir()
    for field in table.schema:
        if is_tensor(field):
            np.save(folder / f"{field.name}.npy", tensor(table, field.name))
        elif is_file(field):
            values = [value or b"" for value in table[field.name].to_pylist()]
            (folder / f"{field.name}.bin").write_bytes(b"".join(values))
            np.save(folder / f"{field.name}_bytes.npy", np.array([len(value) for value in values], np.int64))
        elif pa.types.is_nested(field.type):
            (folder / f"{field.name}.json").write_text(json.dumps(table[field.name].to_pylist()))
        else:
            values = table[field.name].to_numpy()
            np.save(folder / f"{field.name}.npy", values.astype(str) if values.dtype == object else values)


def write_tar(table: pa.Table, file: Path) -> None:
    """Writes a table as a tar. Equal tables give equal bytes: entries have neither time nor owner."""
    names = [field.name for field in table.schema if is_tensor(field)]
    tensors = {name: tensor(table, name) for name in names}
    present = {name: table[name].is_valid().to_numpy() for name in names}
    files = [field.name for field in table.schema if is_file(field)]
    contents = {name: table[name].to_pylist() for name in files}
    others = table.drop_columns([*names, *files]).to_pylist()
    with tarfile.open(file, "w") as tar:

        def put(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

        for at, row in enumerate(others):
            key = f"{row['row']:012d}"
            put(f"{key}.json", json.dumps(row).encode())
            for name in names:
                if present[name][at]:
                    content = io.BytesIO()
                    np.save(content, tensors[name][at])
                    put(f"{key}.{name}.npy", content.getvalue())
            for name in files:
                if contents[name][at] is not None:
                    put(f"{key}.{name}.bin", contents[name][at])


def write_csv(table: pa.Table, file: Path) -> None:
    kept = [field for field in table.schema if not (is_tensor(field) or is_file(field))]
    nested = {field.name for field in kept if pa.types.is_nested(field.type)}
    with open(file, "w", newline="", encoding="utf-8") as stream:
        out = csv.DictWriter(stream, [field.name for field in kept])
        out.writeheader()
        for row in table.select([field.name for field in kept]).to_pylist():
            out.writerow({name: json.dumps(value) if name in nested else value for name, value in row.items()})


KINDS: dict[str, tuple[str, Callable[[pa.Table, Path], None]]] = {
    "lists": (".parquet", write_lists),
    "npy": ("", write_npy),
    "webdataset": (".tar", write_tar),
    "csv": (".csv", write_csv),
}
"""For each kind of view: the extension of a shard's file, and the function that writes it."""


def export_view(dataset: Dataset, dest: Path, kind: str) -> dict[str, int]:
    """Updates DEST to a snapshot. Returns how many shards were written, kept and deleted, and the total of rows.

    Raises UsageError for a DEST that holds something else.
    """
    if is_remote(str(dest)):
        raise UsageError(f"{dest}: export writes to a local folder; copy it from there")
    dest.mkdir(parents=True, exist_ok=True)
    done = _manifest(dest, kind)
    suffix, write = KINDS[kind]
    shards: dict[str, Any] = {}
    counts = {"written": 0, "kept": 0, "deleted": 0, "rows": 0}
    for shard in dataset.snapshot.shards:
        name = shard.path.removeprefix("windows/").removesuffix(".parquet").replace("/", "-") + suffix
        source = {"sha256": shard.sha256, "first_row": shard.first_row, "removed": sorted(shard.removed)}
        known = done.get(name)
        if known and known["source"] == source and (not known["rows"] or (dest / name).exists()):
            shards[name] = known
            counts["kept"] += 1
        else:
            shards[name] = {"source": source, "rows": _export_shard(dataset, shard, dest / name, write)}
            counts["written"] += 1
        counts["rows"] += shards[name]["rows"]
    for name in sorted(set(done) - set(shards)):
        _delete(dest / name)
        counts["deleted"] += 1
    facts = {"format": "reelbeam export", "kind": kind, "snapshot": dataset.snapshot.number, "shards": shards}
    part = dest / f"{MANIFEST}.part"
    part.write_text(json.dumps(facts, indent=1))
    part.replace(dest / MANIFEST)
    return counts


def _export_shard(dataset: Dataset, shard: ShardInfo, file: Path, write: Callable[[pa.Table, Path], None]) -> int:
    """Writes the live rows of one shard. A shard without live rows gets no file."""
    columns = _columns(dataset, shard)
    parts = []
    for numbers, batch in dataset.shard_batches(shard, columns):
        parts.append(pa.Table.from_batches([batch]).add_column(0, "row", pa.array(numbers)))
    table = pa.concat_tables(parts).combine_chunks() if parts else None
    _delete(file)
    if table is None or not len(table):
        return 0
    part = file.with_name(f"{file.name}.part")
    _delete(part)
    write(table, part)
    part.replace(file)
    return len(table)


def _columns(dataset: Dataset, shard: ShardInfo) -> list[str]:
    """The stored columns, without those of built-in senses that are off: npy would show them as zeros."""
    with stored_file(dataset.storage, shard.path) as file:
        off = dataset.snapshot.shape.off_columns
        return [name for name in pq.read_schema(file).names if name not in off or name.endswith("_status")]


def _manifest(dest: Path, kind: str) -> dict[str, Any]:
    file = dest / MANIFEST
    if not file.exists():
        if any(dest.iterdir()):
            raise UsageError(f"{dest} is not empty and no export of ours; give an empty or a new folder")
        return {}
    facts = json.loads(file.read_text())
    if facts.get("kind") != kind:
        raise UsageError(f"{dest} holds an export as {facts.get('kind')}, not as {kind}; give another folder")
    return dict(facts["shards"])


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

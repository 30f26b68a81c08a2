"""Arrow columns that hold tensors: fixed_size_binary, little-endian, dtype and shape in the field's metadata."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa

from .small_arrays import flags


def column(name: str, kind: pa.DataType, doc: str, unit: str = "", nullable: bool = False) -> pa.Field:
    """A documented column."""
    return pa.field(name, kind, nullable, {"doc": doc, "unit": unit})


def tensor_column(
    name: str, dtype: str, shape: tuple[int, ...], doc: str, unit: str = "", nullable: bool = False
) -> pa.Field:
    """A documented tensor column: raw bytes per row, with dtype and shape in the metadata."""
    width = math.prod(shape) * np.dtype(dtype).itemsize
    return pa.field(
        name,
        pa.binary(width),
        nullable,
        {"doc": doc, "unit": unit, "dtype": np.dtype(dtype).name, "shape": json.dumps(list(shape))},
    )


def tensor(batch: pa.RecordBatch | pa.Table, name: str) -> np.ndarray:
    """A tensor column as an array [rows, *shape]. Does not copy if the column is one chunk without nulls.

    A null row reads as zeros.
    """
    declared = batch.schema.field(name)
    found = batch.column(name)
    if isinstance(found, pa.ChunkedArray):
        found = (
            found.chunk(0) if found.num_chunks == 1 else pa.concat_arrays(found.chunks or [pa.array([], declared.type)])
        )
    shape = tuple(json.loads(declared.metadata[b"shape"]))
    dtype = np.dtype(declared.metadata[b"dtype"].decode())
    values = (
        np.frombuffer(
            found.buffers()[1] or b"",
            np.uint8,
            len(found) * found.type.byte_width,
            found.offset * found.type.byte_width,
        )
        if len(found)
        else np.zeros(0, np.uint8)
    )
    values = values.view(dtype).reshape(len(found), *shape)
    if found.null_count:  # Parquet leaves arbitrary bytes in null rows
        values = values.copy()
        values[flags(found.is_null())] = 0
    return values


def tensor_array(values: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """An array [rows, ...] as a fixed_size_binary column. Rows with `valid` False are null."""
    values = np.ascontiguousarray(values)
    width = values[0].nbytes if len(values) else math.prod(values.shape[1:]) * values.itemsize
    bits = None
    if valid is not None and not valid.all():
        bits = pa.py_buffer(np.packbits(valid.astype(bool), bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [bits, pa.py_buffer(values)])


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The same table with one column replaced."""
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values)

"""Rows of a dataset with built-in senses off."""

from __future__ import annotations

import pyarrow as pa

from .tables import OFF, RowShape, windows_schema


def turned_off(table: pa.Table, shape: RowShape) -> pa.Table:
    """The rows with the columns of the senses that are off: null, and their statuses `off`."""
    schema = windows_schema(shape)
    for name in [name for name in schema.names if name in shape.off_columns]:
        field = schema.field(name)
        values = (
            pa.array([OFF] * len(table), pa.string()) if name.endswith("_status") else pa.nulls(len(table), field.type)
        )
        table = table.set_column(schema.get_field_index(name), field, values)
    return table

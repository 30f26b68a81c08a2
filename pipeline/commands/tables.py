"""How the retrieval commands answer: a table for people, JSON, or Parquet."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from ..search import TableOptions

SHOWN = 50
"""Rows that people are shown; files and JSON hold all."""


def show(found: pa.Table, options: TableOptions, title: str, facts: dict[str, Any] | None = None) -> None:
    """Prints or writes an answer. `facts` are what is known of it beside its rows."""
    if options.out:
        import pyarrow.parquet as pq

        pq.write_table(found, options.out)
    if options.json:
        print(json.dumps({**(facts or {}), "rows": found.to_pylist()}, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*found.column_names, title=title, title_justify="left")
    for row in found.slice(0, SHOWN).to_pylist():
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if len(found) > SHOWN:
        print(f"and {len(found) - SHOWN} more: see them with --json or --out FILE")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("ms"):
        from ..views import clock

        return clock(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)

"""index --plan: what an index would cost, kind by kind, from rough constants. Builds nothing."""

from __future__ import annotations

import math
import sys

from rich.console import Console
from rich.table import Table

from ...models.devices import cores
from ...schemas.errors import UsageError
from ...schemas.vector_sources import VECTOR_SOURCES
from ...transforms.index_kinds import KINDS, SECONDS_A_DAY, Estimate, estimate
from ..dataset import Dataset, count_vectors
from ..indexes import IndexOptions, kind_for

DIMENSION = 512
"""That of ViT-B/32: the default."""


def plan_for(output: str | None, options: IndexOptions) -> tuple[str, list[Estimate]]:
    """The kind that a build would choose, and the cost of every kind in the table. A kind that is not in the table comes first.

    Raises UsageError when neither OUTPUT nor --vectors says how many vectors.
    """
    if not output and not options.vectors:
        raise UsageError("--plan needs to know how many vectors: give OUTPUT, or --vectors 1e9")
    dataset, of = Dataset.open(output) if output else None, VECTOR_SOURCES[options.of]
    dimension = options.dimension or (of.dimension(dataset.snapshot.shape) if dataset else DIMENSION)
    vectors = int(options.vectors) or sum(count_vectors(dataset, of).values() if dataset else [])
    if not vectors:
        raise UsageError(f"{output} has no {of.called} to index; say how many there will be with --vectors")
    chosen = kind_for(options, vectors, dimension)
    kinds = dict.fromkeys([row.factory(vectors, dimension) for row in KINDS])
    if chosen not in kinds:
        kinds = {chosen: None, **kinds}
    return chosen, [estimate(kind, vectors, dimension, cores(), 2 * options.queries) for kind in kinds]


def print_plan(output: str | None, options: IndexOptions) -> None:
    """Prints the plan as a table, then the conclusions as sentences."""
    chosen, rows = plan_for(output, options)
    search_bytes = options.search_memory_mb << 20
    table = Table(
        "", "kind", "in memory", f"machines of {size(search_bytes)}", "stored", "train", "on a GPU", "fill", "merge", "measure",
        "recall@10",
        title=f"{rows[0].vectors:,} vectors of {rows[0].dimension}, hours on this machine's {cores()} cores", title_justify="left",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            "*" if row.kind == chosen else "", row.kind, size(row.memory_bytes), str(row.machines(search_bytes)),
            size(row.disk_bytes), hours(row.train_s), hours(row.train_gpu_s), hours(row.fill_s), hours(row.merge_s),
            hours(row.measure_s), "unknown" if row.recall is None else f"{row.recall:.3f}",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 170).print(table)
    [best] = [row for row in rows if row.kind == chosen]
    workers = math.ceil((best.fill_s + best.measure_s) / SECONDS_A_DAY)
    print(
        f"* {chosen} is what --index {options.index} builds: {size(best.memory_bytes)} to search, {size(best.disk_bytes)} stored.\n"
        f"Filling and measuring take {hours(best.fill_s + best.measure_s)} h on one such machine: {workers} of them end within a "
        f"day. Merging takes one machine {hours(best.merge_s)} h and as much disk as the index.\n"
        f"Training holds {size(best.build_memory_bytes)}; with --memory-mb {options.memory_mb} "
        + (
            "that fits."
            if 2 * best.build_memory_bytes <= options.memory_mb << 20
            else f"it takes fewer vectors a list or does not fit: give --memory-mb {2 * best.build_memory_bytes >> 20} or more."
        )
    )


def hours(seconds: float) -> str:
    """
    >>> hours(36), hours(7200), hours(720_000)
    ('0.01', '2.0', '200')
    """
    found = seconds / 3600
    return f"{found:.2f}" if found < 1 else f"{found:.1f}" if found < 100 else f"{found:.0f}"


def size(count: int) -> str:
    """
    >>> size(2_000_000), size(64 << 30), size(1_096_295_279_001)
    ('2.0 MB', '68.7 GB', '1.10 TB')
    """
    return (
        f"{count / 1e12:.2f} TB"
        if count >= 1e12
        else f"{count / 1e9:.1f} GB"
        if count >= 1e9
        else f"{count / 1e6:.1f} MB"
    )

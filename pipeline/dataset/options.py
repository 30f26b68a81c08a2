"""Options for rewriting and deleting stored files."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class SweepOptions(Options):
    """When unreferenced files are deleted."""

    sweep_after_h: float = option(
        24.0,
        "age in hours at which files that no snapshot names are deleted; a running job may still commit younger ones",
        low=0,
    )


@dataclass(frozen=True)
class KeepOptions(SweepOptions):
    """Retention and compaction."""

    keep_snapshots: int = option(
        14, "number of snapshots to keep, besides pinned ones; older ones are deleted for good", low=1
    )
    compact_from: int = option(8, "number of small shards from which they are merged", low=2)
    removed_share: float = option(
        0.2,
        "rewrite a shard when more than this share of its rows was replaced; rows of deleted videos are removed at once",
        low=0,
        high=1,
    )

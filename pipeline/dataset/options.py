"""Options that say when stored files are rewritten or deleted."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class SweepOptions(Options):
    """When a file is nobody's."""

    sweep_after_h: float = option(
        24.0,
        "age from which a file that no snapshot names is deleted: a running job may yet commit a younger one",
        low=0,
    )


@dataclass(frozen=True)
class KeepOptions(SweepOptions):
    """What is tidied up, and when."""

    keep_snapshots: int = option(14, "snapshots kept beside the pinned ones; older ones can't be restored", low=1)
    compact_from: int = option(8, "merge small shards when there are so many of them", low=2)
    removed_share: float = option(
        0.2,
        "rewrite a shard when more of its rows than this were replaced; deleted videos' rows always leave at once",
        low=0,
        high=1,
    )

"""What index.json records of an index and its files."""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.snapshot import ShardInfo


@dataclass(frozen=True)
class PartInfo:
    """One stored part of an index."""

    path: str
    sha256: str
    bytes: int
    vectors: int


def raw_name(shard: ShardInfo) -> str:
    """The name of a shard's raw vectors."""
    return f"{shard.sha256}-{shard.first_row}.f16"

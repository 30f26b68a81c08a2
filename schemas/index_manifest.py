"""What index.json records of an index and its files."""

from __future__ import annotations

from dataclasses import dataclass

from .options import fingerprint
from .snapshot import ShardInfo


@dataclass(frozen=True)
class PartInfo:
    """One stored part of an index."""

    path: str
    sha256: str
    bytes: int
    vectors: int
    """Vectors that it holds."""


def raw_name(shard: ShardInfo) -> str:
    """The name of a shard's raw vectors."""
    return f"{shard.sha256}-{shard.first_row}.f16"


def mark(video_id: str) -> str:
    """What stands for a removed video: its id must not be found in any file once it is gone."""
    return fingerprint({"removed": video_id})

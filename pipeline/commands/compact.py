"""reelbeam compact OUTPUT"""

from __future__ import annotations

import argparse

from ..dataset import KeepOptions
from ..extraction import ExtractOptions
from .base import none_left

HELP = "merge small shards, drop removed rows, delete old snapshots, and sweep"
OPTIONS = KeepOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Compacts what is due, then sweeps."""
    from ...schemas.snapshot import new_run
    from ...schemas.storage import Storage
    from ..dataset import compact_shards, sweep_files

    none_left(rest, "compact")
    options, storage = KeepOptions.from_args(args), Storage.at(args.output)
    shard_bytes = ExtractOptions().shard_mb * 1_000_000
    made = compact_shards(storage, new_run(), shard_bytes, options.compact_from, options.removed_share)
    swept = sweep_files(storage, options.keep_snapshots, options.sweep_after_h * 3600)
    done = f"snapshot {made.number}: {len(made.shards)} shards" if made else "nothing to compact"
    print(f"{done}; swept {swept.snapshots} snapshots, {swept.files} files, {swept.bytes / 1e6:.1f} MB")
    return 0

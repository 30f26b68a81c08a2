"""reelbeam snapshots OUTPUT"""

from __future__ import annotations

import argparse
import json

from .base import none_left, one_blas_thread

HELP = "list the snapshots of OUTPUT, or pin one so that retention keeps it"
OPTIONS = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("--pin", type=int, metavar="N", help="keep snapshot N for as long as it is pinned")
    parser.add_argument("--unpin", type=int, metavar="N", help="leave snapshot N to retention again")
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Pins when asked, then lists."""
    one_blas_thread()
    from ...schemas.storage import Storage
    from ..dataset import list_snapshots, pin_snapshot

    none_left(rest, "snapshots")
    storage = Storage.at(args.output)
    for number, pinned in ((args.pin, True), (args.unpin, False)):
        if number is not None:
            pin_snapshot(storage, number, pinned)
    facts = list_snapshots(storage)
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("snapshot", "made", "videos", "windows", "shards", "MB", "indexes built from", "pinned")
    for one in facts:
        built = ", ".join(f"{name} {snapshot}" for name, snapshot in one["indexes"].items())
        counts = (str(one[name]) for name in ("videos", "windows", "shards"))
        size = f"{one['bytes'] / 1e6:.1f}"
        table.add_row(str(one["number"]), one["created_at"], *counts, size, built, "yes" if one["pinned"] else "")
    Console(width=120).print(table)
    return 0

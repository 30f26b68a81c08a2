"""reelbeam diff OUTPUT A B"""

from __future__ import annotations

import argparse
import json

from .base import none_left, one_blas_thread

HELP = "show what changed between two snapshots of OUTPUT"
OPTIONS = None

SHOWN = 20
"""Videos of a kind that are named; --json names all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("first", metavar="A", type=int, help="number of the older snapshot")
    parser.add_argument("second", metavar="B", type=int, help="number of the newer one")
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Prints videos, counts, settings and indexes that differ."""
    one_blas_thread()
    from ...schemas.storage import Storage
    from ..dataset import snapshot_difference

    none_left(rest, "diff")
    found = snapshot_difference(Storage.at(args.output), args.first, args.second).to_json()
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    for kind in ("added", "removed", "changed"):
        print(f"{len(found[kind])} videos {kind}")
        for uri in found[kind][:SHOWN]:
            print(f"  {uri}")
    for kind in ("counts", "settings", "indexes"):
        for name, (old, new) in found[kind].items():
            print(f"{kind} {name}: {old} -> {new}")
    print(f"{found['shards_added']} shards came, {found['shards_removed']} went")
    return 0

"""reelbeam restore OUTPUT N"""

from __future__ import annotations

import argparse

from .base import none_left

HELP = "publish a new snapshot with the content of an old one"
OPTIONS = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("number", metavar="N", type=int, help="number of the snapshot")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Restores, and says what the next nightly will do."""
    from ...schemas.storage import Storage
    from ..dataset import restore_snapshot

    none_left(rest, "restore")
    published = restore_snapshot(Storage.at(args.output), args.number)
    print(
        f"snapshot {published.number} holds what snapshot {args.number} held: {published.counts.get('videos', 0)} videos, "
        f"{published.counts.get('windows', 0)} windows. The next nightly brings it to what INPUT holds again"
    )
    return 0

"""reelbeam purge OUTPUT VIDEO"""

from __future__ import annotations

import argparse

from ...schemas.storage import Storage
from ..nightly import PurgeOptions
from .base import none_left

HELP = "remove one video from OUTPUT now: from shards, tables, indexes and old snapshots. Remove it from INPUT first"
OPTIONS = PurgeOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("video", metavar="VIDEO", help="its uri, as the videos table has it, or its id")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Purges, and says how to prove it."""
    from ..nightly import purge_video

    none_left(rest, "purge")
    options = PurgeOptions.from_args(args)
    done = purge_video(Storage.at(args.output), args.video, options, options.sweep_after_h * 3600)
    gone = f", with the snapshots {', '.join(map(str, done.snapshots_deleted))}" if done.snapshots_deleted else ""
    print(
        f"snapshot {done.snapshot}: {done.named.uri or done.named.video_id} is gone: {done.rows} rows, "
        f"{done.files_deleted} files{gone}. No file names it, and none holds one of its {done.said.sentences} longest sentences"
        f"{', but for' if done.said.shared else ''}"
    )
    for uri in done.said.shared:
        print(f"  {uri}, which says the same")
    print(f"Prove it at any time with: reelbeam verify {args.output} --gone {args.video}")
    return 0

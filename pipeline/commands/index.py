"""reelbeam index OUTPUT"""

from __future__ import annotations

import argparse

from ..options import IndexOptions
from .base import none_left

HELP = "build a FAISS index over the frames and measure its recall"
OPTIONS = IndexOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Builds, measures, publishes, reports."""
    from ..index import run_index

    none_left(rest, "index")
    published, settings = run_index(args.output, IndexOptions.from_args(args))
    recall = settings["recall_at_10"]
    print(
        f"snapshot {published.number}: index {args.name}, {settings['kind']}, {settings['vectors']} frames"
        f"{'' if settings['nprobe'] is None else ', nprobe ' + str(settings['nprobe'])}; recall@10 "
        f"{recall['frame_queries']['recall']:.4f} ({recall['frame_queries']['queries']} frame queries), "
        f"{recall['text_queries']['recall']:.4f} ({recall['text_queries']['queries']} text queries)"
    )
    return 0

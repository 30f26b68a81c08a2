"""reelbeam similar OUTPUT VIDEO"""

from __future__ import annotations

import argparse

from ..search import SimilarOptions
from .base import none_left
from .tables import show

HELP = "find videos that look like a video"
OPTIONS = SimilarOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("video", metavar="VIDEO", help="a video's uri, the end of it, or its id")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Finds and shows them."""
    from ..search import open_index, similar

    none_left(rest, "similar")
    options = SimilarOptions.from_args(args)
    show(similar(open_index(args.output, options.name), args.video, options.k), options, f"like {args.video}")
    return 0

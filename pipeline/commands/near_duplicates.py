"""reelbeam near-duplicates OUTPUT"""

from __future__ import annotations

import argparse

from ..search import NearDuplicatesOptions
from .base import none_left
from .tables import show

HELP = "find spans that repeat, within and across videos"
OPTIONS = NearDuplicatesOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Finds and shows them."""
    from ..search import near_duplicates, open_index

    none_left(rest, "near-duplicates")
    options = NearDuplicatesOptions.from_args(args)
    found, threshold, clarity = near_duplicates(open_index(args.output, options.name), options.threshold, options.least)
    title = f"{len(found)} pairs at cosine {threshold:.4f} and above" + (
        "" if options.threshold else f", chosen with clarity {clarity:.2f}"
    )
    show(found, options, title, {"threshold": threshold, "clarity": clarity})
    return 0

"""reelbeam explore OUTPUT"""

from __future__ import annotations

import argparse

from ..explorer import ExploreOptions
from .base import none_left, one_blas_thread

HELP = "serve pages to search the dataset, look at its videos and play the moments"
OPTIONS = ExploreOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Prints the address, and serves until it is interrupted."""
    one_blas_thread()
    from ..explorer import serve

    none_left(rest, "explore")
    serve(args.output, ExploreOptions.from_args(args))
    return 0

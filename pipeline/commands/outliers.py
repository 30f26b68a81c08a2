"""reelbeam outliers OUTPUT"""

from __future__ import annotations

import argparse

from ..search import OutliersOptions
from .base import none_left
from .tables import show

HELP = "find moments unlike the rest"
OPTIONS = OutliersOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Finds and shows them."""
    from ..search import open_index, outliers

    none_left(rest, "outliers")
    options = OutliersOptions.from_args(args)
    show(outliers(open_index(args.output, options.name), options.k), options, "unlike the rest")
    return 0

"""reelbeam map OUTPUT"""

from __future__ import annotations

import argparse

from ..views import MapOptions
from .base import draw, none_left

HELP = "draw a map of the frame embeddings"
OPTIONS = MapOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page or the picture, or both."""
    from ..views import map_of

    none_left(rest, "map")
    options = MapOptions.from_args(args)
    return draw(args.output, options, lambda dataset: map_of(dataset, options.frames))

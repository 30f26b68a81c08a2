"""reelbeam map OUTPUT"""

from __future__ import annotations

import argparse

from ..rendering import MapOptions
from .base import draw, none_left

HELP = "draw a map of the frame embeddings"
OPTIONS = MapOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page or the picture, or both."""
    from ..rendering import draw_map, map_page

    none_left(rest, "map")
    options = MapOptions.from_args(args)
    most = options.frames
    return draw(args.output, options, lambda found: map_page(found, most), lambda found: draw_map(found, most))

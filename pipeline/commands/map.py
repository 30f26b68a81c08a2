"""reelbeam map OUTPUT"""

from __future__ import annotations

import argparse

from ...schemas.errors import UsageError
from ..options import MapOptions
from .base import none_left

HELP = "a page with a map of the frame embeddings"
OPTIONS = MapOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page or the picture, or both."""
    from ..drawing import write
    from ..embedding_map import map_of
    from ..read import Dataset

    none_left(rest, "map")
    options = MapOptions.from_args(args)
    if not (options.html or options.png):
        raise UsageError("say where to: --html FILE, --png FILE, or both")
    marks, title = map_of(Dataset.open(args.output), options.frames)
    write(marks, title, options.html, options.png)
    print(f"{title}: {' and '.join(filter(None, (options.html, options.png)))}")
    return 0

"""reelbeam timeline OUTPUT VIDEO"""

from __future__ import annotations

import argparse

from ..views import TimelineOptions
from .base import draw, none_left

HELP = "draw a video's frames, shots, words and sound on one time axis"
OPTIONS = TimelineOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("video", metavar="VIDEO", help="a video's id, uri or file name")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page or the picture, or both."""
    from ..views import timeline_of

    none_left(rest, "timeline")
    options = TimelineOptions.from_args(args)
    return draw(args.output, options, lambda dataset: timeline_of(dataset, args.video))

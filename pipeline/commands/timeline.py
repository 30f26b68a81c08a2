"""reelbeam timeline OUTPUT VIDEO"""

from __future__ import annotations

import argparse

from ..rendering import TimelineOptions
from .base import draw, none_left

HELP = "draw a video's frames, shots, words and sound on one time axis"
OPTIONS = TimelineOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("video", metavar="VIDEO", help="a video's id, uri or file name")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page or the picture, or both."""
    from ..rendering import draw_timeline, timeline_page

    none_left(rest, "timeline")
    options = TimelineOptions.from_args(args)
    video = args.video
    return draw(
        args.output, options, lambda found: timeline_page(found, video), lambda found: draw_timeline(found, video)
    )

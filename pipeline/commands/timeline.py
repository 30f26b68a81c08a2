"""reelbeam timeline OUTPUT VIDEO"""

from __future__ import annotations

import argparse

from ...schemas.errors import UsageError
from ..options import TimelineOptions
from .base import none_left

HELP = "a page with a video's frames, shots, words and sound on one axis of time"
OPTIONS = TimelineOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("video", metavar="VIDEO", help="a video's id, uri or file name")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page or the picture, or both."""
    from ..drawing import write
    from ..read import Dataset
    from ..timeline import timeline_of

    none_left(rest, "timeline")
    options = TimelineOptions.from_args(args)
    if not (options.html or options.png):
        raise UsageError("say where to: --html FILE, --png FILE, or both")
    marks, title = timeline_of(Dataset.open(args.output), args.video)
    write(marks, title, options.html, options.png)
    print(f"{title}: {' and '.join(filter(None, (options.html, options.png)))}")
    return 0

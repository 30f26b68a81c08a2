"""reelbeam keyframes OUTPUT VIDEO"""

from __future__ import annotations

import argparse

from ..search import KeyframesOptions
from .base import none_left
from .tables import show

HELP = "choose the few frames that represent a video best"
OPTIONS = KeyframesOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("video", metavar="VIDEO", help="a video's uri, the end of it, or its id")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Chooses and shows them."""
    from ..dataset import Dataset
    from ..search import keyframes

    none_left(rest, "keyframes")
    options = KeyframesOptions.from_args(args)
    show(keyframes(Dataset.open(args.output), args.video, options.k), options, args.video)
    return 0

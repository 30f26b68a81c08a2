"""reelbeam tag OUTPUT LABELS.txt"""

from __future__ import annotations

import argparse

from ..search import TagOptions
from .base import none_left
from .tables import show

HELP = "choose the labels that fit each window best, out of a list"
OPTIONS = TagOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("labels", metavar="LABELS.txt", help="one label a line")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Labels every window."""
    from ..dataset import Dataset
    from ..search import read_labels, tag

    none_left(rest, "tag")
    options = TagOptions.from_args(args)
    labels = read_labels(args.labels)
    found = tag(Dataset.open(args.output), labels, options.device, options.top)
    show(found, options, f"{len(labels)} labels")
    return 0

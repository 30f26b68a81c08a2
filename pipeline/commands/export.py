"""reelbeam export OUTPUT DEST"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..views import ExportOptions
from .base import none_left

HELP = "write views of the rows for other tools"
OPTIONS = ExportOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("dest", metavar="DEST", help="a local folder for the view")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Brings a view up to date with a snapshot."""
    from ..dataset import Dataset
    from ..views import export_view

    none_left(rest, "export")
    options = ExportOptions.from_args(args)
    dataset = Dataset.open(args.output, options.version or None)
    counts = export_view(dataset, Path(args.dest), options.view)
    print(
        f"snapshot {dataset.snapshot.number} as {options.view}: {counts['rows']} rows; shards: {counts['written']} written, "
        f"{counts['kept']} kept, {counts['deleted']} deleted"
    )
    return 0

"""reelbeam report OUTPUT"""

from __future__ import annotations

import argparse

from ...schemas.errors import UsageError
from ..rendering import ReportOptions
from .base import none_left

HELP = "write a page of what the last night or run changed, and of the dataset's health"
OPTIONS = ReportOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Writes the page, and says what it is about in a line."""
    from ..dataset import Dataset
    from ..rendering import last_run, report_page, write_page

    none_left(rest, "report")
    options = ReportOptions.from_args(args)
    if not options.html:
        raise UsageError("say where to: --html FILE")
    dataset = Dataset.open(args.output)
    last = last_run(dataset)
    write_page(options.html, report_page(dataset, last))
    change = last.change
    found = (
        f"{change.added.number} videos added, {change.removed.number} removed, {change.changed.number} changed since "
        f"snapshot {change.since}"
        if change
        else "no earlier snapshot"
    )
    failures = sum(one.number for one in last.health.failures)
    print(f"snapshot {last.health.snapshot}: {found}; {failures} failures stand: {options.html}")
    return 0

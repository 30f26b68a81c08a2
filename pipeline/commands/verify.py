"""reelbeam verify OUTPUT"""

from __future__ import annotations

import argparse

from .base import none_left

HELP = "prove every hash, count, order and id of OUTPUT"
OPTIONS = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Checks everything; exit code 4 when something is not as promised."""
    from ..read import Dataset
    from ..verify import verify

    none_left(rest, "verify")
    dataset = Dataset.open(args.output)
    problems = list(verify(dataset))
    for problem in problems:
        print(problem)
    snapshot = dataset.snapshot
    print(
        f"snapshot {snapshot.number}: {len(snapshot.shards)} shards, {snapshot.next_row} rows, {len(snapshot.indexes)} indexes: "
        f"{'all as promised' if not problems else f'{len(problems)} problems'}"
    )
    return 4 if problems else 0

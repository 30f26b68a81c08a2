"""reelbeam knn OUTPUT QUERIES.parquet OUT.parquet"""

from __future__ import annotations

import argparse

from ..search import KnnOptions
from .base import none_left

HELP = "find the nearest frames of many queries at once, from Parquet to Parquet"
OPTIONS = KnnOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("queries", metavar="QUERIES.parquet", help="a Parquet file with one query a row")
    parser.add_argument("answers", metavar="OUT.parquet", help="where the answers go")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Answers all queries."""
    from ..search import Filter, knn_table, open_index

    none_left(rest, "knn")
    options = KnnOptions.from_args(args)
    wanted = Filter(uri=options.uri, language=options.language)
    frames = open_index(args.output, options.name)
    asked = knn_table(frames, args.queries, args.answers, options.column, options.k, options.device, wanted)
    print(f"{asked} queries answered in {args.answers}")
    return 0

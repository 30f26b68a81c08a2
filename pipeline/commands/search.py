"""reelbeam search OUTPUT TEXT..."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schemas.errors import UsageError
from ..search import SearchOptions
from .base import none_left, one_blas_thread

if TYPE_CHECKING:
    from rich.text import Text

    from ..dataset import Dataset
    from ..search import Moment

log = logging.getLogger("reelbeam")

HELP = "find moments by words or by a picture"
OPTIONS = SearchOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("query", metavar="TEXT", nargs="*", help="what to look for; several give several answers")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Searches for one or several queries, and prints the moments."""
    one_blas_thread()
    from ...schemas.vector_sources import FRAMES
    from ..dataset import Dataset
    from ..search import Searches, find_phrase, query_vector

    none_left(rest, "search")
    options = SearchOptions.from_args(args)
    if bool(args.query) == bool(options.image):
        raise UsageError("say what to look for: either words or --image FILE")
    if not all(query.strip() for query in args.query):
        raise UsageError("an empty query finds arbitrary moments; say what to look for")
    dataset = Dataset.open(args.output)
    if options.phrase:
        show([(query, find_phrase(dataset, query, options.k)) for query in args.query], options, dataset)
        return 0
    searches = Searches(dataset, options.name, options.models, options.device)
    sees = (
        options.image
        or options.search_in == "frames"
        or (
            options.search_in == "all"
            and dataset.snapshot.counts["frames"]
            and FRAMES.is_stored(dataset.snapshot.shape)
        )
    )
    if sees and searches.index.missing_frames:
        log.warning(
            "%d frames are newer than the index and are not searched; cure: reelbeam index %s",
            searches.index.missing_frames,
            args.output,
        )
    by_words = options.search_in in ("words", "screen", "subtitles", "all") and searches.has_words
    if by_words and searches.words.index.missing:
        log.warning(
            "the index of words was built before the dataset had %s, where nothing is found; cure: reelbeam index %s --of words",
            " and ".join(searches.words.index.missing),
            args.output,
        )
    if by_words and searches.words.index.stale:
        log.warning(
            "rows came or went since the index of words was built, and new ones are not found; cure: reelbeam index %s --of words",
            args.output,
        )
    if options.image:
        results = [(options.image, searches.index.search(query_vector(searches.index, "", options), options.k))]
    else:
        results = [(query, searches.find(options.search_in, query, options.k)) for query in args.query]
    show(results, options, dataset)
    return 0


def show(results: Sequence[tuple[str, list[Moment]]], options: SearchOptions, dataset: Dataset) -> None:
    """Prints the moments of each query, and writes the page where one is asked for."""
    from ..search import as_json

    if options.html:
        from ..rendering import moments_page, write_page

        write_page(options.html, moments_page(dataset, results))
    for query, moments in results:
        if options.json:
            print(as_json(query, moments))
        else:
            print_moments(query, moments)


def print_moments(query: str, moments: Sequence[Moment]) -> None:
    """A query's moments as a table for people."""
    from rich.console import Console
    from rich.table import Table

    from ..views import clock

    table = Table("score", "from", "to", "video", "words", title=query, title_justify="left")
    for moment in moments:
        table.add_row(f"{moment.score:.3f}", clock(moment.start_ms), clock(moment.end_ms), moment.uri, marked(moment))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for note in dict.fromkeys(moment.note for moment in moments if moment.note):
        print(note)


def marked(moment: Moment) -> Text:
    """A moment's text with its highlights in bold. What the text says is never read as markup."""
    from rich.text import Text

    text = Text(moment.text)
    for start, end in moment.highlights:
        text.stylize("bold", start, end)
    return text

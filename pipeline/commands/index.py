"""reelbeam index OUTPUT"""

from __future__ import annotations

import argparse

from ...schemas.errors import UsageError
from ..indexes import IndexOptions

HELP = (
    "bring an index over frames, speech or fused embeddings up to date, and measure its recall; or one of words. "
    "Beam's own options may follow"
)
OPTIONS = IndexOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "output", metavar="OUTPUT", nargs="?", help="a folder or bucket URL; not needed for --plan --vectors"
    )


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Builds or updates, measures, publishes, reports; or plans; or rolls back."""
    options = IndexOptions.from_args(args)
    if options.plan and options.of == "words":
        raise UsageError("--plan is about indexes of vectors; one of words takes about 70 bytes per window")
    if options.plan:
        from ..views import print_plan

        print_plan(args.output, options)
        return 0
    if not args.output:
        raise UsageError("say which OUTPUT to index; only --plan --vectors N goes without")
    from ...schemas.vector_sources import VECTOR_SOURCES, WORDS
    from ..indexes import rollback, update_index

    if options.rollback:
        published = rollback(args.output, options.called)
        print(f"snapshot {published.number}: index {options.called} is {published.indexes[options.called].path} again")
        return 0
    if options.of == WORDS:
        return _words(args.output, options)
    published, made = update_index(args.output, options, rest)
    print(f"snapshot {published.number}: {made.why}")
    print(
        f"index {options.called}: {made.kind}, {made.vectors} {VECTOR_SOURCES[options.of].called}"
        f"{'' if made.nprobe is None else f', nprobe {made.nprobe}'}; recall@10 "
        + ", ".join(
            f"{one.recall:.4f} [{one.low:.4f}, {one.high:.4f}] ({one.queries} {kind.replace('_', ' ')})"
            for kind, one in made.recall_at_10.items()
        )
        + (f"; {made.recall.latency_ms:.2f} ms per query" if made.recall else "")
    )
    return 0


def _words(output: str, options: IndexOptions) -> int:
    from ..words import update_words

    published, words = update_words(output, options.called, options.full, options.memory_mb, options.merge_above)
    print(f"snapshot {published.number}: {words.why}")
    print(
        f"index {options.called}: {words.windows} windows, {words.videos} titles, {words.size_bytes / 1e6:.1f} MB; "
        f"stemmed: {', '.join(name for name in words.analyzers if len(name) == 2) or 'none'}"
    )
    return 0

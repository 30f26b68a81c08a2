"""The `reelbeam` command.

Exit codes: 0 done (bad inputs are recorded, not errors); 1 a fault in the program or the machine; 2 wrong options,
missing weights, mismatched models; 3 a quality gate refused to publish; 4 stored data is corrupt; 5 other writers kept
winning. Nothing but 0 publishes anything half-done: a rerun is always safe.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ..schemas.errors import ReelbeamError, UsageError
from .options import ExtractOptions, IndexOptions, SearchOptions

if TYPE_CHECKING:
    from .read import Dataset

log = logging.getLogger("reelbeam")


def build_parser() -> argparse.ArgumentParser:
    """All commands. Flags come from the options dataclasses."""
    parser = argparse.ArgumentParser(
        prog="reelbeam",
        allow_abbrev=False,
        description="Turns a bucket of videos into Parquet shards and FAISS indexes, and searches them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    extract = commands.add_parser(
        "extract",
        allow_abbrev=False,
        help="extract features from all videos that are new or have changed",
        description="Extracts features from all videos at INPUT that are new or have changed. "
        "Beam's own options (--runner, ...) may follow.",
    )
    extract.add_argument(
        "input",
        metavar="INPUT",
        help="a folder, a glob, a bucket URL with prefix or glob, or a txt, csv or parquet list",
    )
    extract.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    ExtractOptions.add_to(extract)
    extract.set_defaults(run=_extract)

    index = commands.add_parser(
        "index", allow_abbrev=False, help="build a FAISS index over the frames and measure its recall"
    )
    index.add_argument("output", metavar="OUTPUT")
    IndexOptions.add_to(index)
    index.set_defaults(run=_index)

    search = commands.add_parser("search", allow_abbrev=False, help="find moments by words or by a picture")
    search.add_argument("output", metavar="OUTPUT")
    search.add_argument("query", metavar="TEXT", nargs="*", help="what to look for; several give several answers")
    SearchOptions.add_to(search)
    search.set_defaults(run=_search)

    status = commands.add_parser("status", allow_abbrev=False, help="what OUTPUT holds")
    status.add_argument("output", metavar="OUTPUT")
    status.add_argument("--json", action="store_true", help="answer as JSON")
    status.set_defaults(run=_status)

    verify = commands.add_parser("verify", allow_abbrev=False, help="prove every hash, count, order and id of OUTPUT")
    verify.add_argument("output", metavar="OUTPUT")
    verify.set_defaults(run=_verify)
    return parser


def _extract(args: argparse.Namespace, beam_flags: list[str]) -> int:
    from . import extract, progress
    from .job import prepare

    options = ExtractOptions.from_args(args)
    job = prepare(args.output, options, beam_flags)
    if options.dry_run:
        guess = extract.estimate(args.input, job)
        print(
            f"would extract {guess.videos} videos ({guess.hours:.2f} h, {guess.units} units, {guess.windows} windows), "
            f"about {guess.bytes / 1e6:.1f} MB; {guess.unchanged} unchanged, {guess.unreadable} unreadable"
        )
        print(
            f"at {extract.TYPICAL_SPEED:.0f}x realtime, typical of two CPU cores, this takes about "
            f"{guess.hours * 60 / extract.TYPICAL_SPEED:.1f} min. Nothing was done"
        )
        return 0
    plan = extract.plan(args.input, job)
    log.info("%d videos listed, %d to do, %d unchanged", plan.listed, len(plan.todo), plan.listed - len(plan.todo))
    if not plan.todo:
        print(f"nothing to do: all {plan.listed} videos are unchanged since snapshot {plan.snapshot}")
        return 0
    with progress.shown(len(plan.todo), job.runner):
        report = extract.run(plan, job)
    print(
        f"snapshot {report.snapshot}: {report.done} videos ({say(report.statuses)}), "
        f"{report.windows} windows, {report.media_ms / 3_600_000:.3f} h of media in {report.seconds:.1f} s "
        f"({report.media_ms / 1000 / max(report.seconds, 1e-9):.1f}x realtime)"
    )
    for uri, stage, kind, message in report.failures[:10]:
        print(f"  {stage} {kind}: {uri}: {message[:160]}")
    if len(report.failures) > 10:
        print(f"  and {len(report.failures) - 10} more: see the failures table, or reelbeam status {args.output}")
    return 0


def say(statuses: Counter[str]) -> str:
    """
    >>> say(Counter(ok=3, failed=1))
    '3 ok, 0 partial, 1 failed'
    """
    return ", ".join(f"{statuses[status]} {status}" for status in ("ok", "partial", "failed"))


def _index(args: argparse.Namespace, beam_flags: list[str]) -> int:
    from .index import run_index

    _none_left(beam_flags, "index")
    published, settings = run_index(args.output, IndexOptions.from_args(args))
    recall = settings["recall_at_10"]
    print(
        f"snapshot {published.number}: index {args.name}, {settings['kind']}, {settings['vectors']} frames"
        f"{'' if settings['nprobe'] is None else ', nprobe ' + str(settings['nprobe'])}; recall@10 "
        f"{recall['frame_queries']['recall']:.4f} ({recall['frame_queries']['queries']} frame queries), "
        f"{recall['text_queries']['recall']:.4f} ({recall['text_queries']['queries']} text queries)"
    )
    return 0


def _search(args: argparse.Namespace, beam_flags: list[str]) -> int:
    from . import page, search
    from .read import Dataset

    _none_left(beam_flags, "search")
    options = SearchOptions.from_args(args)
    if bool(args.query) == bool(options.image):
        raise UsageError("say what to look for: either words or --image FILE")
    index = search.Index(Dataset.open(args.output), options.name)
    if index.missing_frames:
        log.warning(
            "%d frames are newer than the index and are not searched; cure: reelbeam index %s",
            index.missing_frames,
            args.output,
        )
    results = [
        (query, index.search(search.query_vector(index, query, options), options.k))
        for query in args.query or [options.image]
    ]
    if options.html:
        with open(options.html, "w", encoding="utf-8") as stream:
            stream.write(page.page(results))
    for query, moments in results:
        if options.json:
            print(search.as_json(query, moments))
        else:
            table = Table("score", "from", "to", "video", "words spoken there", title=query, title_justify="left")
            for moment in moments:
                table.add_row(
                    f"{moment.score:.3f}",
                    page.clock(moment.start_ms),
                    page.clock(moment.end_ms),
                    moment.uri,
                    moment.text,
                )
            Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def _status(args: argparse.Namespace, beam_flags: list[str]) -> int:
    from .read import Dataset

    _none_left(beam_flags, "status")
    facts = status_of(Dataset.open(args.output))
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    counts = facts["counts"]
    print(
        f"snapshot {facts['snapshot']} of {facts['created_at']}, models {facts['models']['clip']} and {facts['models']['whisper']}"
    )
    print(
        f"{counts['videos']} videos ({counts['ok']} ok, {counts['partial']} partial, {counts['failed']} failed), "
        f"{counts['media_ms'] / 3_600_000:.3f} h, {counts['windows']} windows, {counts['frames']} frames, {counts['words']} words"
    )
    print(f"{facts['shards']} shards, {facts['bytes'] / 1e6:.1f} MB, rows 0 to {facts['next_row']}")
    for name, index in facts["indexes"].items():
        print(f"index {name}: {index['kind']}, {index['vectors']} frames, from snapshot {index['snapshot']}")
    for failure in facts["failures"]:
        print(f"  {failure['stage']} {failure['kind']}: {failure['uri']}: {failure['message'][:160]}")
    return 0


def status_of(dataset: Dataset) -> dict[str, Any]:
    """What `status` tells: facts of the current snapshot, and the failures that still stand."""
    snapshot = dataset.snapshot
    newest = {
        row["video_id"]: info.path.removeprefix("videos/").removesuffix(".parquet")
        for info in snapshot.videos
        for row in dataset.table_of(info).to_pylist()
    }
    standing = (
        [row for row in dataset.table("failures").to_pylist() if newest.get(row["video_id"]) == row["run"]]
        if snapshot.failures
        else []
    )
    return {
        "snapshot": snapshot.number,
        "created_at": snapshot.created_at,
        "fingerprint": snapshot.fingerprint,
        "options": snapshot.options,
        "models": {name: identity.get("weights", "") for name, identity in snapshot.models.items()},
        "counts": snapshot.counts,
        "shards": len(snapshot.shards),
        "bytes": sum(shard.bytes for shard in snapshot.shards),
        "next_row": snapshot.next_row,
        "indexes": {name: dataclasses.asdict(index) for name, index in snapshot.indexes.items()},
        "failures": standing,
    }


def _verify(args: argparse.Namespace, beam_flags: list[str]) -> int:
    from .read import Dataset
    from .verify import verify

    _none_left(beam_flags, "verify")
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


def _none_left(flags: list[str], command: str) -> None:
    if flags:
        raise UsageError(f"unknown option {flags[0]}; see reelbeam {command} --help")


def _set_up_logging() -> None:
    """Our own lines from INFO up, everybody else's from WARNING up, less what users can do nothing about."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: not str(record.msg).startswith("apitools not found"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of ten retries; the last word is ours
    log.setLevel(logging.INFO)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _set_up_logging()
    args, rest = build_parser().parse_known_args(argv)
    run: Callable[[argparse.Namespace, list[str]], int] = args.run
    try:
        return run(args, rest)
    except ReelbeamError as error:
        print(f"reelbeam {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read us has seen enough, as in `reelbeam status OUTPUT | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped; what was committed stays, a rerun continues from there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""reelbeam nightly INPUT OUTPUT"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from ..extraction import ExtractOptions
from ..nightly import NightlyOptions
from .extract import arguments as extract_arguments
from .extract import say

if TYPE_CHECKING:
    from ...schemas.night_report import NightReport
    from ..extraction import Job

HELP = "make OUTPUT match INPUT: extract, remove, update indexes, verify, compact and sweep"
OPTIONS = NightlyOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    extract_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Does the night's work and prints its report."""
    from ...schemas.phases import phase
    from ..extraction import prepare_job
    from ..workers import profiled, watched

    options = NightlyOptions.from_args(args)
    with profiled(options.profile), watched(options.metrics_port, options.log_json):
        with phase("prepare"):
            job = prepare_job(args.output, options.part(ExtractOptions), rest, args.input)
        return _run(args, job, options)


def _run(args: argparse.Namespace, job: Job, options: NightlyOptions) -> int:
    import time

    from ..nightly import plan_night, run_night

    if options.dry_run:
        night = plan_night(args.input, job, options, int(time.time() * 1000))
        if night.dataset and not options.remodel:
            job.settings.check_same(night.dataset.snapshot, job.storage)
        found = {name: len(value) for name, value in vars(night.changes).items() if isinstance(value, list)}
        due = ", ".join(f"{count} {name}" for name, count in found.items() if count) or "nothing"
        print(
            f"{len(night.listed)} videos listed; would do: {due}; {night.changes.unchanged} unchanged. Nothing was done"
        )
        for video in night.listed.others.values():
            if video.failure:
                print(f"  {video.failure.stage} {video.failure.kind}: {video.uri}: {video.failure.message[:160]}")
        return 0
    report = run_night(args.input, job, options)
    print(report.to_json() if args.json else describe(report))
    return 0


def describe(report: NightReport) -> str:
    """A few lines for a person and a log."""
    from ...schemas.vector_sources import called_of

    if not report.changed:
        return f"nothing to do: all {report.listed} videos are as in snapshot {report.snapshot_after}"
    found = ", ".join(f"{count} {name}" for name, count in report.found.items() if count)
    before = "none" if report.snapshot_before is None else report.snapshot_before
    lines = [f"snapshot {before} -> {report.snapshot_after}: {report.listed} videos listed; {found}"]
    if report.remodelled:
        redone = report.remodelled
        lines.append(
            f"remodelled: {', '.join(redone.parts)}; {redone.videos} videos decoded again, {redone.lost} lost their rows"
        )
    if report.statuses:
        lines.append(f"worked on: {say(Counter(report.statuses))}; {report.windows} windows")
    for name, made in report.indexes.items():
        lines.append(f"index {name}: {made.kind}, {made.vectors} {called_of(made.of)}")
    if report.compacted or report.swept:
        swept = ", ".join(f"{value} {name}" for name, value in report.swept.items()) or "nothing"
        lines.append(f"{'compacted; ' if report.compacted else ''}swept {swept}")
    lines.append("seconds: " + ", ".join(f"{step} {took:.1f}" for step, took in report.seconds.items() if took >= 0.05))
    lines += [f"  {stage} {kind}: {uri}: {message[:160]}" for uri, stage, kind, message in report.failures[:10]]
    return "\n".join(lines)

"""reelbeam extract INPUT OUTPUT"""

from __future__ import annotations

import argparse
import logging
from collections import Counter

from ..extraction import ExtractOptions

log = logging.getLogger("reelbeam")

HELP = "extract features from all videos that are new or have changed. Beam's own options (--runner, ...) may follow"
OPTIONS = ExtractOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a folder, a glob, a bucket URL with prefix or glob, one file, one https:// file, or a txt, csv or parquet list",
    )
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Plans, extracts, reports."""
    from ..workers import profiled, watched

    options = ExtractOptions.from_args(args)
    with profiled(options.profile), watched(options.metrics_port, options.log_json):
        return _run(args, options, rest)


def _run(args: argparse.Namespace, options: ExtractOptions, rest: list[str]) -> int:
    from ...schemas.phases import phase
    from ...transforms import metrics
    from ..extraction import (
        TYPICAL_SPEED,
        estimate_extraction,
        plan_extraction,
        prepare_job,
        run_extraction,
    )
    from ..workers import show_progress

    with phase("prepare"):
        job = prepare_job(args.output, options, rest, args.input)
    if options.dry_run:
        guess = estimate_extraction(args.input, job)
        print(
            f"would extract {guess.videos} videos ({guess.hours:.2f} h, {guess.units} units, {guess.windows} windows), "
            f"about {guess.bytes / 1e6:.1f} MB; {guess.unchanged} unchanged, {guess.unreadable} unreadable"
        )
        if guess.probed < guess.videos:
            print(
                f"all figures are scaled up from {guess.probed} videos chosen at random; the hours are "
                f"{max(0.0, guess.hours - guess.hours_off):.2f} to {guess.hours + guess.hours_off:.2f} in 95 of 100 such choices"
            )
        for uri, failure in guess.failures[:10]:
            print(f"  {failure.stage} {failure.kind}: {uri}: {failure.message[:160]}")
        print(
            f"at {TYPICAL_SPEED:.0f}x realtime, typical of two CPU cores, this takes about "
            f"{guess.hours * 60 / TYPICAL_SPEED:.1f} min. Nothing was done"
        )
        return 0
    with phase("plan"):
        plan = plan_extraction(args.input, job)
    log.info("%d videos listed, %d to do, %d unchanged", plan.listed, len(plan.todo), plan.listed - len(plan.todo))
    if not plan.todo and not plan.retitled:
        print(f"nothing to do: all {plan.listed} videos are unchanged since snapshot {plan.snapshot}")
        return 0
    with show_progress(len(plan.todo), job.runner, job.is_local):
        report = run_extraction(plan, job)
    print(
        f"snapshot {report.snapshot}: {report.done} videos ({say(report.statuses)}), "
        f"{report.windows} windows, {report.media_ms / 3_600_000:.3f} h of media in {report.seconds:.1f} s "
        f"({report.media_ms / 1000 / max(report.seconds, 1e-9):.1f}x realtime)"
    )
    if report.ticks and job.options.frames != "exact":
        share = report.frames / report.ticks
        print(
            f"  {report.frames} of {report.ticks} ticks ({share:.0%}) have a frame, with --frames {job.options.frames}"
        )
    if report.retitled:
        print(f"  {report.retitled} unchanged videos have another title or description")
    counted = metrics.totals().get("embed_frames", {})
    if counted.get("shared"):
        share = counted["shared"] / counted["frames"]
        print(f"  {counted['shared']} frames ({share:.0%}) repeat a still picture and share its embedding")
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

"""nightly: one process brings OUTPUT to what INPUT holds now. Safe to start at any time, any number of times, and at the
same moment on two machines: every step plans from the current snapshot and commits onto it, or finds it done.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from ...schemas import snapshot as snapshots
from ...schemas.elements import Video
from ...schemas.night_report import NightReport
from ...schemas.tables import REMOVED
from ...transforms.embed_titles import NO_TITLES
from ..dataset import (
    Dataset,
    commit_videos,
    commit_wave,
    compact_shards,
    rename_rows,
    rows_of,
    shard_of,
    sweep_files,
    write_wave,
)
from ..extraction import ExtractionPlan, ExtractionReport, Job, recaption, relisted, run_extraction, sidecar_use
from ..indexes import IndexOptions
from ..workers import show_progress
from .indexes import update_indexes
from .options import NightlyOptions
from .plan import Night, find_twins, plan_night, settle_suspects
from .remodel import remodel_dataset

log = logging.getLogger("reelbeam")


def run_night(location: str, job: Job, options: NightlyOptions) -> NightReport:
    """The whole night. What was committed before an error stays, and the next run goes on from there."""
    report = NightReport(snapshots.new_run(), location, snapshots.now())
    now_ms = int(time.time() * 1000)
    current = snapshots.latest(job.storage)
    report.snapshot_before = report.snapshot_after = current.number if current else None
    standing = current.indexes if current else {}
    if current and current.fingerprint != job.fingerprint:
        if not options.remodel:
            job.settings.check_same(current, job.storage)
        plan_night(location, job, options, now_ms)  # its gates: no model is worth a dataset whose bucket is not there
        with report.timed("remodel"):
            report.remodelled = remodel_dataset(location, job, report.run)
    with report.timed("plan"):
        night = plan_night(location, job, options, now_ms)
        todo, touched = settle_suspects(night)
        by_bytes = sidecar_use(job) != "speech"  # else the same bytes may have other words
        todo, doubles = find_twins(todo, night) if by_bytes else (todo, [])
        leaving = set(night.changes.removed)
        moved = [double for double in doubles if double[1] in leaving]
    found = night.changes
    report.listed = len(night.listed)
    report.found = {
        **{
            name: len(getattr(found, name))
            for name in ("new", "changed", "retried", "recaptioned", "retitled", "removed", "missing", "back")
        },
        "changed": len(found.changed) + len(found.suspects) - len(touched),
        "touched": len(touched),
        "twins": len(doubles) - len(moved),
        "renamed": len(moved),
        "unchanged": found.unchanged + len(found.waiting),
    }
    with report.timed("twins"):  # before the old names go, and their rows with them
        copy_twins(job, moved, night, report)
    with report.timed("videos_table"):
        update_videos_table(job, night, touched, now_ms)
    if todo:
        with report.timed("extract"), show_progress(len(todo), job.runner, job.is_local):
            note(
                report,
                run_extraction(ExtractionPlan(len(night.listed), todo, report.snapshot_before, night.known), job),
            )
    with report.timed("twins"):
        copy_twins(job, [double for double in doubles if double[1] not in leaving], night, report)
    if sidecar_use(job) == "subtitles":
        with report.timed("subtitles"):  # copies and touched videos may have other files beside them, too
            recaption(job, [*found.recaptioned, *touched, *(video for video, _ in doubles)])
    if snapshots.numbers(job.storage):
        shard_bytes = job.options.shard_mb * 1_000_000
        with report.timed("compact"):  # before the index, which remembers the shards that it was built from
            made = compact_shards(job.storage, report.run, shard_bytes, options.compact_from, options.removed_share)
            report.compacted = made is not None
        with report.timed("index"):
            report.indexes = update_indexes(job.storage, options.part(IndexOptions), standing, report.compacted)
        with report.timed("sweep"):
            swept = sweep_files(job.storage, options.keep_snapshots, options.sweep_after_h * 3600)
            report.swept = {name: value for name, value in asdict(swept).items() if value}
    current = snapshots.latest(job.storage)
    report.snapshot_after = current.number if current else None
    if report.changed:
        job.storage.put(f"runs/{report.run}.report.json", report.to_json().encode())
    return report


def note(report: NightReport, done: ExtractionReport) -> None:
    """Adds what the waves did."""
    report.statuses = dict(Counter(report.statuses) + Counter(done.statuses))
    report.windows += done.windows
    report.media_ms += done.media_ms
    report.failures += done.failures


def update_videos_table(job: Job, night: Night, touched: Sequence[Video], now_ms: int) -> None:
    """Commits what needs no extraction: removed and missing videos, new etags and titles, videos that are back."""
    found = night.changes
    changed = [*found.removed, *found.missing, *found.back, *(one.video_id for one in (*touched, *found.retitled))]
    if not changed:
        return
    known, back = night.video_rows(changed), night.listed.find(found.back)
    rows = [
        *(
            {**known[video_id], "status": REMOVED, "windows": 0, "sidecars": None, **NO_TITLES}
            for video_id in found.removed
        ),
        *({**known[video_id], "missing_since_ms": now_ms} for video_id in found.missing),
        *({**relisted(known[one], back[one]), "missing_since_ms": 0} for one in found.back),
        *({**relisted(known[one.video_id], one), "etag": one.etag, "missing_since_ms": 0} for one in touched),
        *(relisted(known[video.video_id], video) for video in found.retitled),
    ]
    commit_videos(job.storage, job.settings, job.titles.embed(rows), known)


def copy_twins(job: Job, doubles: Sequence[tuple[Video, str]], night: Night, report: NightReport) -> None:
    """Commits rows for videos whose bytes another video has: copied from its rows, not extracted again. Wave by wave, so
    that videos of one shard share a wave: a renamed folder reads each shard about once."""
    if not doubles:
        return
    homes = shard_of(Dataset(job.storage, snapshots.load(job.storage)), {other for _, other in doubles})
    ordered = sorted(doubles, key=lambda double: (homes.get(double[1], ""), double[0].uri))
    for at in range(0, len(ordered), job.options.wave_videos):
        copy_wave(job, ordered[at : at + job.options.wave_videos], homes, night, report)


def copy_wave(
    job: Job, doubles: Sequence[tuple[Video, str]], homes: Mapping[str, str], night: Night, report: NightReport
) -> None:
    """One commit of copies. `homes` are the shards that held the others' rows before the first one."""
    dataset = Dataset(job.storage, snapshots.load(job.storage))
    known, run = dataset.video_rows({other for _, other in doubles}), snapshots.new_run()
    standing = dataset.standing_failures()
    wanted = {other for _, other in doubles if other in known and known[other]["windows"]}
    removed = {shard.path: shard.removed for shard in dataset.snapshot.shards}
    there = {one: homes[one] for one in wanted & homes.keys() if one not in removed.get(homes[one], (one,))}
    held = rows_of(dataset, there | shard_of(dataset, wanted - there.keys()))
    rows, entries, failures = [], [], []
    for video, other in doubles:
        if other not in known:  # another run has removed it meanwhile; the next night sees this one as new
            log.warning("%s: its twin has gone, left for the next run", video.uri)
            continue
        named = {"video_id": video.video_id, "uri": video.uri}
        titled = replace(video, title=video.title or "", description=video.description or "")  # not its twin's
        own = {
            "size_bytes": video.size_bytes,
            "etag": video.etag,
            "attempts": video.attempts + 1,
            "run": run,
            "missing_since_ms": 0,
        }
        entries.append({**relisted(known[other], titled), **named, **own})
        failures += [{**row, **named, "run": run} for row in standing if row["video_id"] == other]
        if other in held:
            rows.append(rename_rows(held[other], video.video_id, video.uri))
    if not entries:
        return
    wave = write_wave(job.storage, run, job.titles.dimension, job.titles.embed(entries), rows, failures)
    commit_wave(job.storage, job.settings, replace(wave, planned=night.known), job.options.max_failed)
    done = ExtractionReport(len(entries), Counter(row["status"] for row in entries))
    done.windows = sum(row["windows"] for row in entries)
    note(report, done)

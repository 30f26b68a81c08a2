"""Subtitle files beside videos came, went or changed: their captions are read again, and nothing is decoded.

The rows of such a video are copied with other subtitles, as a new shard; all their other columns stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from ...schemas import snapshot as snapshots
from ...schemas.elements import Caption, Video
from ...schemas.errors import Failure, InputError
from ...schemas.tables import ABSENT, FAILED, OK, PARTIAL
from ...transforms.captions import in_order
from ...transforms.run_senses import SENSES
from ...transforms.sidecars import LOST, SOURCE, read_sidecars, sidecars_as_listed
from ..dataset import Dataset, commit_wave, rows_of, shard_of, write_wave
from .changes import SidecarUse, relisted
from .prepare import Job

log = logging.getLogger("reelbeam")

SUBTITLES, STATUS = "subtitles", "subtitles_status"


def sidecar_use(job: Job) -> SidecarUse:
    """What the job reads subtitle files beside videos for."""
    if job.profile.whisper.speech != "whisper":
        return "speech"
    return "subtitles" if any(sense.name == SUBTITLES for sense in job.profile.senses) else ""


def recaption(job: Job, videos: Iterable[Video]) -> int:
    """Stores the subtitles of videos whose sidecars are others than the videos table says, in one commit a wave. Returns how many
    videos that were."""
    videos, done = sorted(videos, key=lambda video: video.uri), 0
    for at in range(0, len(videos), job.options.wave_videos):
        done += recaption_wave(job, videos[at : at + job.options.wave_videos])
    return done


def recaption_wave(job: Job, videos: Sequence[Video]) -> int:
    """The same for one wave."""
    dataset, run = Dataset(job.storage, snapshots.load(job.storage)), snapshots.new_run()
    known = dataset.video_rows(video.video_id for video in videos)
    todo = [
        video
        for video in videos
        if video.video_id in known and known[video.video_id]["sidecars"] != sidecars_as_listed(video)
    ]
    if not todo:
        return 0
    held = rows_of(dataset, shard_of(dataset, {video.video_id for video in todo}))
    standing = dataset.standing_failures()
    rows, entries, failures = [], [], []
    for video in todo:
        before = known[video.video_id]
        captions, lost = read_sidecars(video.sidecars)
        others = [row for row in standing if row["video_id"] == video.video_id and not is_of_sidecars(row)]
        named = {"video_id": video.video_id, "uri": video.uri}
        if lost:
            log.warning("%s: %s", video.uri, lost)
            failure = Failure.of(SENSES, InputError("sense_failed", f"{SUBTITLES}: {lost}"), 0, before["duration_ms"])
            others.append({**named, **asdict(failure)})
        failures += [{**row, "run": run} for row in others]
        status = before["status"] if before["status"] == FAILED else PARTIAL if others else OK
        facts = {"sidecars": sidecars_as_listed(video), "status": status, "run": run, "missing_since_ms": 0}
        entries.append({**relisted(before, video), **facts})
        if video.video_id in held:
            rows.append(with_captions(held[video.video_id], captions, lost))
    wave = write_wave(job.storage, run, job.titles.dimension, job.titles.embed(entries), rows, failures)
    commit_wave(job.storage, job.settings, replace(wave, planned=known))
    return len(todo)


def is_of_sidecars(failure: dict[str, Any]) -> bool:
    """Whether a row of the failures table is about sidecars."""
    return failure["stage"] == SENSES and str(failure["message"]).startswith(f"{SUBTITLES}: {LOST}")


def with_captions(rows: pa.Table, sidecars: Sequence[Caption], lost: str) -> pa.Table:
    """The rows of one video with the captions of its sidecars in the place of earlier ones; those of its streams stay."""
    columns: dict[str, list[Any]] = {SUBTITLES: [], STATUS: []}
    for row in rows.select(["start_ms", "end_ms", SUBTITLES, STATUS]).to_pylist():
        own = [Caption(**one) for one in row[SUBTITLES] or () if not one["source"].startswith(SOURCE)]
        here = [one for one in sidecars if one.start_ms < row["end_ms"] and one.end_ms > row["start_ms"]]
        shown = [asdict(one) for one in in_order((*own, *here))]
        columns[SUBTITLES].append(shown or None)
        columns[STATUS].append(OK if shown else status_without(row[STATUS], lost))
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    return rows


def status_without(before: str, lost: str) -> str:
    """The status of a window without captions: failed for what is lost now, or for what its own streams lost before.

    >>> status_without("ok", ""), status_without("failed: subtitles: sidecar a.srt: it is empty", "")
    ('absent', 'absent')
    >>> status_without("failed: subtitles: captions: cut short", "sidecar b.srt: gone")
    'failed: subtitles: sidecar b.srt: gone; captions: cut short'
    """
    own = "captions: " + before.partition("captions: ")[2] if "captions: " in before else ""
    reasons = "; ".join(why for why in (lost, own) if why)
    return f"{FAILED}: {SUBTITLES}: {reasons}" if reasons else ABSENT

"""remodel: a dataset made with other models is recomputed where they touch it, and nowhere else, and swapped at once.

A new CLIP decodes pictures and hears nothing; a new Whisper hears and decodes no picture; a new sentence model reads the
stored words. All other columns are carried over from the old shards, and every row keeps its number. Other options
(the grid, the shot threshold) touch everything: all videos are extracted anew. Nothing is visible before the one commit
at the end; waves that were done before a crash are found again by their receipts.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from ...models.loaded import loaded
from ...schemas import snapshot as snapshots
from ...schemas.elements import Video
from ...schemas.errors import CommitConflict, CorruptOutput
from ...schemas.file_records import ShardInfo
from ...schemas.night_report import Remodelled
from ...schemas.options import data_options
from ...schemas.row_shape import MODEL_OF
from ...schemas.small_arrays import stretches_of
from ...schemas.snapshot import Snapshot, shard_path
from ...schemas.tables import TITLE_EMBEDDINGS, validate_windows, videos_schema
from ...schemas.tensors import tensor_array, with_column
from ...schemas.vector_sources import still_valid
from ...transforms.embed_text import embedded_texts, text_vectors, texts_of
from ...transforms.extract_rows import running_senses, wanted_streams
from ...transforms.fusers import fused
from ...transforms.listing import list_videos
from ...transforms.shard_files import put_table, put_windows, read_receipt
from ...transforms.sidecars import sidecars_as_listed
from ..dataset import Dataset, count_videos, gather_failures, live_rows, next_snapshot
from ..extraction import Job, as_known, build_wave, over_waves, run_wave, sidecar_use
from .column_merge import TOUCHES, fresh_rows, merged, same_columns, same_rows, touched_by

log = logging.getLogger("reelbeam")


@dataclass(frozen=True)
class Work:
    """What to recompute, planned from one snapshot."""

    parts: frozenset[str]
    """The models and further senses whose columns change."""
    computed: frozenset[str]
    """Those of them that run; the others are turned off."""
    dataset: Dataset
    videos: list[Video]
    """Those that must be decoded again. Their bytes are those of the videos table."""
    lost: frozenset[str]
    """Videos with rows whose bytes are not there any more: their rows can't be recomputed, and leave."""


def remodel_dataset(location: str, job: Job, run_name: str) -> Remodelled:
    """Recomputes and swaps. Returns what the report says.

    Raises CommitConflict when another writer has changed the dataset meanwhile: run again.
    """
    parent = snapshots.load(job.storage)
    if parent.options != data_options(job.options):
        published = extract_anew(location, job, parent)
        return Remodelled(("everything",), published.counts["videos"], 0, published.number)
    work = plan_remodel(location, job, parent)
    log.info("%s: %d videos to recompute, all else is carried over", ", ".join(sorted(work.parts)), len(work.videos))
    fresh = [
        shard for shards in over_waves(partial(recompute, parts=work.computed), work.videos, job) for shard in shards
    ]
    shards, lost, words = carry(job, work, fresh, run_name)
    sidecars = {video.video_id: sidecars_as_listed(video) for video in work.videos}
    published = swap(job, parent, shards, lost, words, work.parts, run_name, sidecars)
    on = {one.name for one in job.profile.senses}
    gone = [f"-{one.name}" for one in parent.shape.senses if one.name not in on]
    gone += [f"-{sense}" for sense in job.profile.off if sense not in parent.shape.off]
    return Remodelled((*gone, *sorted(work.computed)), len(work.videos), len(lost), published.number)


def plan_remodel(location: str, job: Job, parent: Snapshot) -> Work:
    """What the new models touch."""
    dataset = Dataset(job.storage, parent)
    names = (*TOUCHES, *(one.name for one in job.profile.senses))
    parts = frozenset(name for name in names if parent.models.get(name) != job.models[name])
    listed = {video.video_id: video for video in list_videos(location, bool(sidecar_use(job)))}
    rowed = {video_id: row for video_id, row in dataset.videos.items() if row["windows"]}
    lost = frozenset(key for key, row in rowed.items() if key not in listed or listed[key].etag != row["etag"])
    if any(one.words for one in running_senses(job.profile, parts)):
        parts |= {"whisper"}  # the words that it wants are heard again
    computed = parts - {MODEL_OF[sense] for sense in job.profile.off}
    pictures, sound = wanted_streams(job.profile, computed)
    videos = [
        listed[key]
        for key, row in rowed.items()
        if key not in lost and ((pictures and row["frames"]) or (sound and row["audio_codec"]))
    ]
    return Work(parts, computed, dataset, sorted(videos, key=lambda video: video.uri), lost)


def recompute(videos: Sequence[Video], job: Job, parts: frozenset[str]) -> list[ShardInfo]:
    """Shards of rows in which only the touched columns are filled; those of an earlier try, where its receipt is there."""
    videos = [replace(video, title=None, description=None) for video in videos]  # this videos table is never published
    seen = hashlib.sha256("".join(f"{video.video_id}{video.etag}" for video in videos).encode()).hexdigest()[:12]
    run_name = f"remodel-{job.fingerprint}-{seen}"
    try:
        return read_receipt(job.storage, run_name)[0]
    except FileNotFoundError:
        build = beam.Pipeline(runner=job.runner, options=job.beam)
        build_wave(build, videos, job, run_name, parts)
        build.run().wait_until_finish()
        return read_receipt(job.storage, run_name)[0]


def carry(
    job: Job, work: Work, fresh: Sequence[ShardInfo], run_name: str
) -> tuple[list[ShardInfo], set[str], dict[str, int]]:
    """Writes every old shard again with the new columns. Returns the shards, the videos that could not be recomputed, and
    the words of each video."""
    shape = job.profile.row_shape(job.options.window_ticks)
    decoded = {video.video_id for video in work.videos}
    compared, touched = same_columns(*wanted_streams(job.profile, work.computed)), touched_by(work.parts, shape)
    made, lost = [], set(work.lost)
    words: dict[str, int] = {}
    for part, shard in enumerate(work.dataset.snapshot.shards):
        old, numbers = live_rows(job.storage, shard, lost)
        ids = set(pc.unique(old["video_id"]).to_pylist())
        new = fresh_rows(job.storage, fresh, ids & decoded, shape)
        strangers = {video_id for video_id in ids & decoded if not same_rows(old, new, video_id, compared)}
        if strangers:
            log.warning("%d videos gave other rows than before; they will be extracted anew", len(strangers))
            lost |= strangers
            kept = pc.invert(pc.is_in(old["video_id"], pa.array(sorted(strangers))))
            old, numbers = old.filter(kept), numbers[kept.to_numpy()]
        if not len(old):
            continue
        table = merged(old, new, work.parts, shape)
        for into, of in embedded_texts(shape).items():
            if into in touched:
                table = with_text_embeddings(table, job, into, of)
        if job.profile.fusion.is_on and work.parts & set(TOUCHES):
            table = fused(table, job.profile, job.options.device)
        validate_windows(table, shape)
        for video_id, said in zip(table["video_id"].to_pylist(), table["words"].to_pylist(), strict=True):
            words[video_id] = words.get(video_id, 0) + len(said or ())
        put = put_windows(job.storage, shard_path(run_name, part, len(work.dataset.snapshot.shards)), table)
        stretches = stretches_of(numbers)
        made.append(replace(put, first_row=int(numbers.min()), stretches=stretches if len(stretches) > 1 else ()))
    return made, lost, words


def with_text_embeddings(table: pa.Table, job: Job, into: str, of: str) -> pa.Table:
    """The sentence embedding of each row's text in column `of`, null without one."""
    spec, device = job.profile.text, job.options.device
    values, spoken = text_vectors(texts_of(table, of), lambda said: loaded(spec, device).encode(said), spec.dimension)
    return with_column(table, into, tensor_array(values, spoken))


def swap(
    job: Job,
    planned: Snapshot,
    shards: Sequence[ShardInfo],
    lost: set[str],
    words: Mapping[str, int],
    parts: frozenset[str],
    run_name: str,
    sidecars: Mapping[str, str | None],
) -> Snapshot:
    """Commits the new shards in the place of the old ones. An index of vectors that the old models made goes with them, and
    a new sentence model reads the titles anew.
    """

    def next_one(parent: Snapshot | None) -> Snapshot:
        if parent is None or (parent.shards, parent.videos) != (planned.shards, planned.videos):
            raise CommitConflict(f"{job.storage.root} was changed while it was recomputed; nothing is lost: run again")
        dataset = Dataset(job.storage, parent)
        failures = gather_failures(dataset, run_name, lost)
        rows = [
            {**row, "words": words.get(video_id, 0)} for video_id, row in dataset.videos.items() if video_id not in lost
        ]
        if "subtitles" in parts or ("whisper" in parts and job.profile.whisper.speech != "whisper"):
            rows = [{**row, "sidecars": sidecars.get(row["video_id"])} for row in rows]
        if "text" in parts:
            rows = job.titles.embed({**row, **dict.fromkeys(TITLE_EMBEDDINGS.values())} for row in rows)
        table = pa.Table.from_pylist(rows, videos_schema(job.titles.dimension))
        table_info = put_table(job.storage, f"videos/{run_name}.parquet", table)
        return replace(
            job.settings.first_snapshot(),
            number=parent.number + 1,
            parent=parent.number,
            run=run_name,
            created_at=snapshots.now(),
            shards=tuple(shards),
            videos=(table_info,),
            failures=failures,
            indexes=still_valid(parent, job.models),
            counts=count_videos({row["video_id"]: row for row in rows}, sum(table.rows for table in failures)),
            next_row=parent.next_row,
            holes=parent.next_row - sum(shard.rows for shard in shards),
            rows_changed=parent.number + 1,
        )

    return snapshots.commit_next(job.storage, next_one)


def extract_anew(location: str, job: Job, planned: Snapshot) -> Snapshot:
    """Extracts every video with the new options, wave by wave and unseen, and commits all of it at once."""
    known = Dataset(job.storage, planned).videos
    videos = [as_known(video, known.get(video.video_id)) for video in list_videos(location, bool(sidecar_use(job)))]
    if not videos:
        raise CorruptOutput(f"{location}: no videos found, nothing was recomputed; cure: look at INPUT")
    waves = list(over_waves(run_wave, videos, job))

    def next_one(parent: Snapshot | None) -> Snapshot:
        if parent is None or (parent.shards, parent.videos) != (planned.shards, planned.videos):
            raise CommitConflict(f"{job.storage.root} was changed while it was recomputed; nothing is lost: run again")
        made = replace(job.settings.first_snapshot(), number=parent.number, next_row=parent.next_row)
        for wave in waves:
            made = next_snapshot(job.storage, job.settings, made, wave)
        number = parent.number + 1
        return replace(made, number=number, parent=parent.number, rows_changed=number)

    return snapshots.commit_next(job.storage, next_one)

"""Compares a listing with the videos table: which videos are new, changed, failed, missing. Pure functions, no I/O."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from ...schemas.elements import Video
from ...schemas.tables import FAILED, PARTIAL, TITLE_EMBEDDINGS
from ...transforms.sidecars import sidecars_as_listed

COMPARED = (
    *("video_id", "etag", "size_bytes", "content_sha256", "status", "attempts", "run", "missing_since_ms", "sidecars"),
    *TITLE_EMBEDDINGS,
)
"""Columns of the videos table that planning converts to Python values; the others stay in Arrow."""

DAY_MS = 86_400_000


SidecarUse = Literal["", "subtitles", "speech"]
"""What subtitle files beside a video are read for: nothing, subtitles alone, or words, so that a change calls for extraction."""


@dataclass(frozen=True)
class Policy:
    """When to retry a failed video, and when to remove a missing one."""

    max_attempts: int = 3
    retry_after_ms: int = 0
    """Wait after the first attempt, in ms. Each further attempt doubles it."""
    retry_all: bool = False
    """Retry every failed or partial video, regardless of its failures, attempts and wait."""
    grace_ms: int = 0
    """How long a video may be missing from the listing before its rows are removed, in ms."""


@dataclass
class Changes:
    """The work of a nightly run. Every listed video is in exactly one of the first seven lists, or unchanged."""

    new: list[Video] = field(default_factory=list)
    changed: list[Video] = field(default_factory=list)
    """Videos whose size changed, so their bytes did; and those whose words come from a subtitle file that changed."""
    suspects: list[Video] = field(default_factory=list)
    """Videos of the same size with another etag or mtime: only a hash shows whether their bytes changed."""
    retried: list[Video] = field(default_factory=list)
    recaptioned: list[Video] = field(default_factory=list)
    """Unchanged videos of which subtitle files beside them came, went or changed."""
    back: list[str] = field(default_factory=list)
    """Unchanged videos that were missing and are listed again."""
    retitled: list[Video] = field(default_factory=list)
    """Unchanged videos whose title or description changed, or was never embedded."""
    missing: list[str] = field(default_factory=list)
    """Ids of videos that are missing for the first time, within the grace period."""
    waiting: list[str] = field(default_factory=list)
    """Ids of videos that were missing before and are still within the grace period."""
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0

    def __bool__(self) -> bool:
        kept = (self.recaptioned, self.back, self.retitled, self.missing, self.removed)
        return any((self.new, self.changed, self.suspects, self.retried, *kept))


def compare_listing(
    listed: Iterable[Video],
    books: pa.Table,
    retryable: Collection[str],
    policy: Policy,
    now_ms: int,
    sidecars_for: SidecarUse = "",
) -> Changes:
    """Compares a listing with the newest row of each known video.

    `books` is the videos table with the columns COMPARED. `retryable` are the ids of videos with a current failure that a
    retry may cure. `sidecars_for` says what files beside a video are read for.
    """
    known = dict(
        zip(
            books["video_id"].to_pylist(),
            zip(*(books[name].to_pylist() for name in COMPARED[1:]), unembedded(books), strict=True),
            strict=True,
        )
    )
    found = Changes()
    for video in listed:
        row = known.pop(video.video_id, None)
        if row is None:
            found.new.append(video)
            continue
        etag, size_bytes, sha256, status, attempts, run, missing_since_ms, sidecars, title, description, unread = row
        if is_out_of_reach(video, status):
            found.unchanged += 1
            continue
        known_texts = {"title": title, "description": description}
        beside_changed = sidecars_for and video.sidecars_known and sidecars != sidecars_as_listed(video)
        if beside_changed and sidecars_for == "speech":
            found.changed.append(as_known(video, known_texts))
        elif etag != video.etag or size_bytes != video.size_bytes:
            same_size = size_bytes == video.size_bytes and sha256
            (found.suspects if same_size else found.changed).append(as_known(video, known_texts))
        elif status in (FAILED, PARTIAL) and due(
            video.video_id in retryable, attempts, run_time_ms(run), policy, now_ms
        ):
            found.retried.append(replace(as_known(video, known_texts), attempts=attempts))
        elif beside_changed:
            found.recaptioned.append(video)
        elif missing_since_ms:
            found.back.append(video.video_id)
        elif unread or is_retitled(video, known_texts):
            found.retitled.append(video)
        else:
            found.unchanged += 1
    for video_id, (_, _, _, _, _, _, missing_since_ms, *_) in known.items():
        gone_ms = now_ms - (missing_since_ms or now_ms)
        if gone_ms >= policy.grace_ms:
            found.removed.append(video_id)
        else:
            (found.waiting if missing_since_ms else found.missing).append(video_id)
    return found


def is_out_of_reach(video: Video, status: str) -> bool:
    """Whether a video with stored rows is unreachable for a temporary reason. Its rows are kept until it can be read."""
    return video.failure is not None and video.failure.retryable and status != FAILED


def below_failed(uri: str, failed: Collection[str]) -> bool:
    """Whether a uri is in one of the `failed` folders, which could not be listed.

    >>> below_failed("/in/locked/a.mp4", {"/in/locked"}), below_failed("/in/lockedness.mp4", {"/in/locked"})
    (True, False)
    """
    return any(uri.startswith(f"{folder}/") for folder in failed)


def unembedded(books: pa.Table) -> list[bool]:
    """Per row: whether its title or description has no embedding. Such rows predate embeddings of titles."""
    missing = [
        pc.and_(pc.not_equal(books[text], ""), pc.is_null(books[name])) for text, name in TITLE_EMBEDDINGS.items()
    ]
    unread: list[bool] = functools.reduce(pc.or_, missing).to_pylist()
    return unread


def is_retitled(video: Video, row: Mapping[str, Any]) -> bool:
    """Whether the listing's title or description differs from the videos table's. A text missing in the listing is ignored."""
    return any(getattr(video, text) not in (None, row[text]) for text in TITLE_EMBEDDINGS)


def as_known(video: Video, row: Mapping[str, Any] | None) -> Video:
    """A listed video, with title and description filled in from its videos-table row where the listing has none."""
    missing = {text: row[text] for text in TITLE_EMBEDDINGS if row and getattr(video, text) is None}
    return replace(video, **missing) if missing else video


def relisted(row: Mapping[str, Any], video: Video) -> dict[str, Any]:
    """A video's row of the videos table with the texts of the listing. Changed texts have no embedding yet."""
    new = {text: said for text in TITLE_EMBEDDINGS if (said := getattr(video, text)) not in (None, row[text])}
    return {**row, **new, **{TITLE_EMBEDDINGS[text]: None for text in new}}


def due(retryable: bool, attempts: int, tried_ms: int, policy: Policy, now_ms: int) -> bool:
    """Whether to retry a failed video: its failure is retryable, it has attempts left, and it has waited long enough.

    >>> hour = 3_600_000
    >>> policy = Policy(max_attempts=3, retry_after_ms=20 * hour)
    >>> due(True, 1, 0, policy, 19 * hour), due(True, 1, 0, policy, 20 * hour), due(True, 2, 0, policy, 39 * hour)
    (False, True, False)
    >>> due(True, 3, 0, policy, 999 * hour), due(False, 1, 0, policy, 999 * hour)
    (False, False)
    """
    if policy.retry_all:
        return True
    wait_ms = policy.retry_after_ms * 2 ** (attempts - 1)
    return retryable and attempts < policy.max_attempts and now_ms - tried_ms >= wait_ms


def run_time_ms(run: str) -> int:
    """Start of a run in ms since 1970 (UTC), from its name.

    >>> run_time_ms("19700101T000001-abcdef")
    1000
    """
    return int(datetime.strptime(run.split("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp() * 1000)


def split_twins(
    videos: Iterable[Video], sha256_of: Mapping[str, str], holders: Mapping[str, str]
) -> tuple[list[Video], list[tuple[Video, str]]]:
    """Splits videos into those to extract, and duplicates as (video, video_id of the video with the same bytes).

    `sha256_of` maps video_id to the hash, for each video that may be a duplicate. `holders` maps the hashes of videos with
    stored rows to their ids.
    """
    first = dict(holders)
    alone: list[Video] = []
    doubles: list[tuple[Video, str]] = []
    for video in videos:
        digest = sha256_of.get(video.video_id)
        if digest is None or digest not in first:
            alone.append(video)
            if digest is not None:
                first[digest] = video.video_id
        else:
            doubles.append((video, first[digest]))
    return alone, doubles


def may_be_twins(videos: Iterable[Video], known_sizes: Mapping[str, int]) -> list[Video]:
    """The videos that have the same size as another listed or known video: only these have to be hashed."""
    videos = list(videos)
    here = {video.video_id for video in videos}
    sizes: dict[int, int] = {}
    for size in (
        *(video.size_bytes for video in videos),
        *(size for known, size in known_sizes.items() if known not in here),
    ):
        sizes[size] = sizes.get(size, 0) + 1
    return [video for video in videos if sizes[video.size_bytes] > 1]

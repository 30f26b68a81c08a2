"""Compares a listing with the videos table: which videos are new, changed, failed, missing. Pure functions, no I/O.

Only videos that may differ become records, see known_rows.py; the rules are applied to those one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from ...schemas.elements import Video
from ...schemas.tables import FAILED, PARTIAL, TITLE_EMBEDDINGS
from ...transforms.sidecars import sidecars_as_listed
from ...transforms.video_list import VideoList
from .known_rows import HASHED, UNEMBEDDED, Joined, KnownRows

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
    listed: VideoList,
    known: KnownRows,
    retryable: Collection[str],
    policy: Policy,
    now_ms: int,
    sidecars_for: SidecarUse = "",
) -> Changes:
    """Compares a listing with the newest row of each known video.

    `retryable` are the ids of videos with a current failure that a retry may cure. `sidecars_for` says what files beside a
    video are read for.
    """
    found, joined, compared = Changes(), Joined.of(listed, known), 0
    for video, row in joined.differing(bool(sidecars_for)):
        compared += 1
        if row is None:
            found.new.append(video)
            continue
        if is_out_of_reach(video, row["status"]):
            found.unchanged += 1
            continue
        beside_changed = sidecars_for and video.sidecars_known and row["sidecars"] != sidecars_as_listed(video)
        if beside_changed and sidecars_for == "speech":
            found.changed.append(as_known(video, row))
        elif row["etag"] != video.etag or row["size_bytes"] != video.size_bytes:
            same_size = row["size_bytes"] == video.size_bytes and row[HASHED]
            (found.suspects if same_size else found.changed).append(as_known(video, row))
        elif row["status"] in (FAILED, PARTIAL) and due(
            video.video_id in retryable, row["attempts"], run_time_ms(row["run"]), policy, now_ms
        ):
            found.retried.append(replace(as_known(video, row), attempts=row["attempts"]))
        elif beside_changed:
            found.recaptioned.append(video)
        elif row["missing_since_ms"]:
            found.back.append(video.video_id)
        elif row[UNEMBEDDED] or is_retitled(video, row):
            found.retitled.append(video)
        else:
            found.unchanged += 1
    found.unchanged += len(listed) - compared
    for row in known.take(joined.unlisted()):
        missing_since_ms = row["missing_since_ms"]
        gone_ms = now_ms - (missing_since_ms or now_ms)
        if gone_ms >= policy.grace_ms:
            found.removed.append(row["video_id"])
        else:
            (found.waiting if missing_since_ms else found.missing).append(row["video_id"])
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


def may_be_twins(videos: Iterable[Video], known_sizes: Collection[int]) -> list[Video]:
    """The videos that have the same size as another one of them or as a known one: only these have to be hashed."""
    videos = list(videos)
    sizes = Counter(video.size_bytes for video in videos)
    return [video for video in videos if sizes[video.size_bytes] > 1 or video.size_bytes in known_sizes]

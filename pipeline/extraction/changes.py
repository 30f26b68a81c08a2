"""What has changed since the last night: a listing against the books. Pure: nothing is read, written or hashed here."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...schemas.elements import Video
from ...schemas.tables import FAILED, PARTIAL, TITLE_EMBEDDINGS

COMPARED = (
    *("video_id", "etag", "size_bytes", "content_sha256", "status", "attempts", "run", "missing_since_ms"),
    *TITLE_EMBEDDINGS,
)
"""The columns of the books that planning looks at; the rest stays in Arrow."""

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Policy:
    """When to try again, and when to let go."""

    max_attempts: int = 3
    retry_after_ms: int = 0
    """After the first attempt; each further one waits twice as long."""
    retry_all: bool = False
    """Try every failed or partial video again, whatever its failures say."""
    grace_ms: int = 0
    """How long a video may be missing from the listing before its rows go."""


@dataclass
class Changes:
    """What a night has to do. Every listed video is in exactly one of the first six, or unchanged."""

    new: list[Video] = field(default_factory=list)
    changed: list[Video] = field(default_factory=list)
    """The size differs, so the bytes do."""
    suspects: list[Video] = field(default_factory=list)
    """Same size, another etag or mtime: only a hash can tell."""
    retried: list[Video] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    """Unchanged videos that were missing and are listed again."""
    retitled: list[Video] = field(default_factory=list)
    """Unchanged videos whose title or description is another one, or was never embedded."""
    missing: list[str] = field(default_factory=list)
    """Not listed for the first time, within their grace."""
    waiting: list[str] = field(default_factory=list)
    """Not listed, noted before, still within their grace."""
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0

    def __bool__(self) -> bool:
        kept = (self.back, self.retitled, self.missing, self.removed)
        return any((self.new, self.changed, self.suspects, self.retried, *kept))


def compare_listing(
    listed: Iterable[Video], books: pa.Table, retryable: Collection[str], policy: Policy, now_ms: int
) -> Changes:
    """A listing against the newest row of each known video (a table with the columns COMPARED and the embeddings of titles).

    `retryable` are the videos with a standing failure that a retry can help.
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
        etag, size_bytes, sha256, status, attempts, run, missing_since_ms, title, description, unread = row
        if is_out_of_reach(video, status):
            found.unchanged += 1
            continue
        known_texts = {"title": title, "description": description}
        if etag != video.etag or size_bytes != video.size_bytes:
            same_size = size_bytes == video.size_bytes and sha256
            (found.suspects if same_size else found.changed).append(as_known(video, known_texts))
        elif status in (FAILED, PARTIAL) and due(
            video.video_id in retryable, attempts, run_time_ms(run), policy, now_ms
        ):
            found.retried.append(replace(as_known(video, known_texts), attempts=attempts))
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
    """Whether a video with rows could not be reached for a reason that may pass: its rows stay until it can be seen again."""
    return video.failure is not None and video.failure.retryable and status != FAILED


def below_failed(uri: str, failed: Collection[str]) -> bool:
    """Whether a uri lies in one of some folders that could not be listed.

    >>> below_failed("/in/locked/a.mp4", {"/in/locked"}), below_failed("/in/lockedness.mp4", {"/in/locked"})
    (True, False)
    """
    return any(uri.startswith(f"{folder}/") for folder in failed)


def unembedded(books: pa.Table) -> list[bool]:
    """Which videos have a text without an embedding: their rows were written before there were any."""
    missing = [
        pc.and_(pc.not_equal(books[text], ""), pc.is_null(books[name])) for text, name in TITLE_EMBEDDINGS.items()
    ]
    unread: list[bool] = functools.reduce(pc.or_, missing).to_pylist()
    return unread


def is_retitled(video: Video, row: Mapping[str, Any]) -> bool:
    """Whether the listing has another title or description than the books. A listing that has none says nothing."""
    return any(getattr(video, text) not in (None, row[text]) for text in TITLE_EMBEDDINGS)


def as_known(video: Video, row: Mapping[str, Any] | None) -> Video:
    """A listed video with the texts of its row in the books where the listing has none."""
    missing = {text: row[text] for text in TITLE_EMBEDDINGS if row and getattr(video, text) is None}
    return replace(video, **missing) if missing else video


def relisted(row: Mapping[str, Any], video: Video) -> dict[str, Any]:
    """A video's row in the books with the texts of the listing; a new text has no embedding yet."""
    new = {text: said for text in TITLE_EMBEDDINGS if (said := getattr(video, text)) not in (None, row[text])}
    return {**row, **new, **{TITLE_EMBEDDINGS[text]: None for text in new}}


def due(retryable: bool, attempts: int, tried_ms: int, policy: Policy, now_ms: int) -> bool:
    """Whether to try a failed video again: its failure may pass, it has attempts left, and it has waited long enough.

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
    """When a run began, in ms since 1970, by its name.

    >>> run_time_ms("19700101T000001-abcdef")
    1000
    """
    return int(datetime.strptime(run.split("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp() * 1000)


def split_twins(
    videos: Iterable[Video], sha256_of: Mapping[str, str], holders: Mapping[str, str]
) -> tuple[list[Video], list[tuple[Video, str]]]:
    """Videos to extract, and (video, video_id of the one with the same bytes) to list beside it.

    `sha256_of` has the hash of each video whose bytes may be another's; `holders` maps the hashes of videos whose rows
    are stored already to their ids.
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
    """The videos whose size is that of another one, listed or known: only these are worth a hash."""
    videos = list(videos)
    here = {video.video_id for video in videos}
    sizes: dict[int, int] = {}
    for size in (
        *(video.size_bytes for video in videos),
        *(size for known, size in known_sizes.items() if known not in here),
    ):
        sizes[size] = sizes.get(size, 0) + 1
    return [video for video in videos if sizes[video.size_bytes] > 1]

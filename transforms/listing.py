"""list_videos: lists the videos of a location, each once, sorted by uri.

In:  a folder, a glob, a bucket URL with a prefix or glob, one file or http(s) address, or a list (txt, csv, parquet).
Out: a VideoList of `Video` records. A video that cannot be reached has a Failure("list") and is recorded as failed.
Bad: a location that does not exist, or that cannot be listed at all, raises UsageError.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..schemas.addresses import is_remote, is_web
from ..schemas.elements import Sidecar, Video
from ..schemas.errors import StorageError, UsageError
from ..schemas.storage import Storage, Stored
from .glob_pattern import glob_pattern
from .list_rows import LIST_SUFFIXES, ListRow, list_rows
from .listed_objects import listed_objects
from .listed_sidecars import with_found_sidecars
from .sidecars import is_sidecar, sidecars_of
from .video_list import VideoList
from .walk_folder import Found, failed_video, failure, name_failure, os_failure, walk_folder

log = logging.getLogger("reelbeam")

MEDIA_SUFFIXES = frozenset(
    (
        ".3g2 .3gp .aac .aiff .amr .asf .avi .flac .flv .gif .ivf .m2ts .m4a .m4v .mka .mkv .mov .mp3 .mp4 .mpeg "
        ".mpg .mts .mxf .oga .ogg .ogv .opus .ts .vob .wav .webm .wma .wmv"
    ).split()
)
"""Suffixes that count as media when a folder or prefix is listed. A glob or a list may name any file."""

REQUESTS_AT_ONCE, ROWS_AT_ONCE = 64, 8192
"""Concurrent requests while the rows of a list are looked up, and rows that are looked up together."""

NOTES_SHOWN = 10
"""Log lines about videos that a list names twice. Further ones are only counted."""


def video_id_of(uri: str) -> str:
    """The permanent id of a video: 16 hex digits of the hash of its uri.

    >>> video_id_of("s3://bucket/a.mp4")
    'ed1ba2a19f481f0e'
    """
    return hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()


def list_videos(location: str, look_beside: bool = False) -> VideoList:
    """All videos at a location, each once, sorted by uri. If a list names a video twice, its first row counts.

    A folder, glob or prefix also gives the subtitle files beside each video; with `look_beside`, a list and one remote file do too, which
    takes requests of its own.

    Raises UsageError when the location cannot be listed.
    """
    beside: list[Sidecar] = []
    if is_list(location):
        videos = _listed_in_file(location)
    elif re.search(r"[*?\[]", location) and not is_web(location) and not _is_there(location):
        videos = _matching(location, beside)
    else:
        videos = _below(location, beside)
    found = VideoList.of(videos)
    if look_beside and (is_list(location) or (is_remote(location) and _is_media(location))):
        return VideoList.of(with_found_sidecars(found))
    if not beside:
        return found
    own = sidecars_of((video.uri for video in found), beside)
    held = zip(own, found.take([*own]), strict=True)
    return found.with_others({at: replace(one, sidecars=own[at]) for at, one in held})


def is_list(location: str) -> bool:
    """Whether a location is a list of videos."""
    named = PurePosixPath(location.partition("?")[0] if is_web(location) else location).suffix.lower() in LIST_SUFFIXES
    return named and (is_remote(location) or Path(location.removeprefix("file://")).expanduser().is_file())


def _is_there(location: str) -> bool:
    return not is_remote(location) and os.path.lexists(location)


def _is_media(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in MEDIA_SUFFIXES


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(path).parts)


def _video(uri: str, stored: Stored, title: str | None = None, description: str | None = None) -> Video:
    return Video(video_id_of(uri), uri, stored.size_bytes, stored.etag, title, description)


def local_video(root: str, found: Found) -> Video:
    """A file found by walk_folder, as a video. It carries the failure of the walk, if there is one."""
    uri = f"{root.rstrip('/')}/{found.path}"
    if found.failure:
        return failed_video(video_id_of, uri, found.failure)
    return Video(video_id_of(uri), uri, found.size_bytes, f"{found.mtime_ns}-{found.size_bytes}")


def _note_sidecar(uri: str, size_bytes: int, etag: str, beside: list[Sidecar]) -> None:
    """Adds a listed file to `beside`, if it is a subtitle file."""
    if is_sidecar(uri):
        beside.append(Sidecar(uri, size_bytes, etag))


def _note_found(root: str, found: Found, beside: list[Sidecar]) -> None:
    if not found.failure and not found.is_folder:
        etag = f"{found.mtime_ns}-{found.size_bytes}"
        _note_sidecar(f"{root.rstrip('/')}/{found.path}", found.size_bytes, etag, beside)


def _below(location: str, beside: list[Sidecar]) -> Iterator[Video]:
    """Media files in a folder or under a prefix, or one single file. Subtitle files go into `beside`."""
    if is_remote(location):
        yield from _below_prefix(location, beside)
        return
    path = Path(location.removeprefix("file://")).expanduser().absolute()
    if not path.exists():
        raise UsageError(f"{location}: no such file or folder")
    if path.is_file():
        facts = path.stat()
        found = Found(path.name, facts.st_size, facts.st_mtime_ns, name_failure(str(path)))
        yield local_video(str(path.parent), found)
        for other in walk_folder(path.parent, lambda _: False):
            _note_found(str(path.parent), other, beside)
        return
    if not path.is_dir():
        raise UsageError(f"{location}: neither a file nor a folder, but a pipe, socket or device")
    for found in walk_folder(path, lambda folder: not _is_hidden(folder)):
        if not found.path:
            raise UsageError(f"{location}: the folder cannot be read: {found.failure and found.failure.message}")
        if not _is_hidden(found.path) and (found.is_folder or _is_media(found.path)):
            yield local_video(str(path), found)
        elif not _is_hidden(found.path):
            _note_found(str(path), found, beside)


def _below_prefix(location: str, beside: list[Sidecar]) -> Iterator[Video]:
    """Media objects under a bucket's prefix, or the one object that the location names."""
    if is_web(location) or _is_media(location):
        storage, path = Storage.of_object(location)
        try:
            yield _video(location, storage.head(path))
            return
        except FileNotFoundError:
            if is_web(location):
                raise UsageError(f"{location}: the server has no such file (404)") from None
        except StorageError as error:
            if is_web(location):
                raise UsageError(
                    f"{location}: {error}. An http(s) INPUT is one media file, or a list of them"
                ) from error
            raise
    storage = Storage.at(location)
    for stored in storage.list():
        if _is_media(stored.path) and not _is_hidden(stored.path):
            yield _video(storage.uri(stored.path), stored)
        elif not _is_hidden(stored.path):
            _note_sidecar(storage.uri(stored.path), stored.size_bytes, stored.etag, beside)


def _matching(location: str, beside: list[Sidecar]) -> Iterator[Video]:
    """Objects that match a glob: `*` and `?` stay within a folder, `**` crosses folders."""
    whole = location if is_remote(location) else str(Path(location).expanduser().absolute())
    fixed = whole[: re.search(r"[*?\[]", whole).start()].rpartition("/")[0]  # type: ignore[union-attr]
    glob = whole[len(fixed) + 1 :]
    pattern = re.compile(glob_pattern(glob))
    if is_remote(location):
        storage = Storage.at(fixed)
        for stored in storage.list():
            if pattern.fullmatch(stored.path):
                yield _video(storage.uri(stored.path), stored)
            else:
                _note_sidecar(storage.uri(stored.path), stored.size_bytes, stored.etag, beside)
        return
    root = Path(fixed or "/")
    if not root.is_dir():
        raise UsageError(f"{location}: no such folder {fixed}")
    deep = glob.count("/") if "**" not in glob else None

    def reaches(folder: str) -> bool:
        """Whether the glob can match something below a folder."""
        return deep is None or folder.count("/") < deep

    for found in walk_folder(root, reaches):
        relevant = reaches(found.path) and not _is_hidden(found.path) if found.is_folder else False
        if relevant or pattern.fullmatch(found.path):
            yield local_video(str(root), found)
        else:
            _note_found(str(root), found, beside)


def _listed_in_file(location: str) -> Iterator[Video]:
    """The videos of a list. Relative names are relative to the list's folder.

    A row without a valid name becomes a failed video with the uri `LIST:LINE`. A video that does not exist is listed too: its
    probe will fail with the reason.
    """
    if not is_remote(location):
        path = Path(location.removeprefix("file://")).expanduser().absolute()
        yield from look_up(list_rows(path, location), str(path))
        return
    storage, name = Storage.of_object(location)
    suffix = PurePosixPath(location.partition("?")[0]).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="reelbeam-list-") as folder:
        local = Path(folder, f"list{suffix}")
        try:
            storage.fetch(name, local)
        except FileNotFoundError:
            raise UsageError(f"{location}: no such list") from None
        yield from look_up(list_rows(local, location), location)


def look_up(rows: Iterable[ListRow], location: str) -> Iterator[Video]:
    """The videos of a list's rows, in order. Remote videos are looked up together where they lie side by side, and else concurrently,
    with one client per bucket."""
    parent = location.rpartition("/")[0]
    clients: dict[str, Storage] = {}
    seen: dict[str, int] = {}
    twice = 0
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="look-up") as pool:
        rows = iter(rows)
        while block := list(itertools.islice(rows, ROWS_AT_ONCE)):
            named = [(row, full_uri(row.uri, parent)) for row in block]
            for row, uri in named:
                if row.failure is None and uri in seen:
                    twice += 1
                    if twice <= NOTES_SHOWN:
                        log.warning("%s:%d names %s again; line %d counts", location, row.line, uri, seen[uri])
                seen.setdefault(uri, row.line)
            known = listed_objects((uri for row, uri in named if not row.failure and not row.etag), clients, pool)
            yield from pool.map(lambda pair: row_video(pair[0], pair[1], location, clients, known), named)  # noqa: B023 - used at once
    if twice > NOTES_SHOWN:
        log.warning("%s: %d rows name a video that an earlier row names", location, twice)


def full_uri(uri: str, parent: str) -> str:
    """The full uri of a row. A relative name is resolved against the list's folder.

    >>> full_uri("a.mp4", "/data"), full_uri("a.mp4", "s3://b/lists"), full_uri("/x/a.mp4", "/data")
    ('/data/a.mp4', 's3://b/lists/a.mp4', '/x/a.mp4')
    """
    if is_remote(uri) or "://" in uri.removeprefix("file://"):
        return uri
    if is_remote(parent):
        return uri if uri.startswith("/") else f"{parent}/{uri}"
    return str(Path(parent, Path(uri.removeprefix("file://")).expanduser()))


def row_video(row: ListRow, uri: str, location: str, clients: dict[str, Storage], known: Mapping[str, Stored]) -> Video:
    """The video of one row. A remote video that is not `known` is looked up, unless the list gives its size and etag or mtime."""
    if row.failure:
        return failed_video(video_id_of, f"{location}:{row.line}", row.failure)
    try:
        if not is_remote(uri):
            if "://" in uri:
                raise UsageError("unknown kind of storage; use a path, s3://, gs://, az:// or https://")
            facts = os.stat(uri)
            stored = Stored(uri, facts.st_size, f"{facts.st_mtime_ns}-{facts.st_size}", 0)
        elif row.size_bytes is not None and row.etag:
            stored = Stored(uri, row.size_bytes, row.etag, 0)
        elif uri in known:
            stored = known[uri]
        else:
            storage, path = Storage.of_object(uri, whole_bucket=True)
            stored = clients.setdefault(storage.root, storage).head(path)
    except FileNotFoundError:
        stored = Stored(uri, 0, "", 0)
    except OSError as error:
        return failed_video(video_id_of, uri, os_failure(error))
    except (StorageError, UsageError) as error:
        retryable = isinstance(error, StorageError)
        return failed_video(video_id_of, uri, failure("unreadable", f"line {row.line}: {error}", retryable=retryable))
    return _video(uri, stored, row.title, row.description)

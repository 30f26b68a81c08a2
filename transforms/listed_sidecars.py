"""with_found_sidecars: looks for subtitle files beside the videos of a list, or beside one file, where no folder is listed anyway.

In:  videos, as listed.
Out: the same with their sidecars.
Bad: a folder that cannot be listed is logged; its videos have `sidecars_known` False.

A local folder is read once. A bucket's folder is listed from the first video's name on, a page a request; where a page ends before the
next name, the listing goes on from that name. So it takes at most a request for each video, and one for each thousand objects where the
videos lie close to each other.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath

from ..schemas.addresses import is_remote, is_web
from ..schemas.elements import Sidecar, Video
from ..schemas.errors import StorageError, UsageError
from ..schemas.storage import PAGE, Storage, Stored
from .listed_objects import SORTED_STORES
from .sidecars import is_sidecar, split_name, with_sidecars

log = logging.getLogger("reelbeam")

FOLDERS_AT_ONCE = 64
"""Folders that are listed at a time."""


def with_found_sidecars(videos: Sequence[Video]) -> list[Video]:
    """The videos with the subtitle files that lie beside them."""
    names: dict[str, set[str]] = {}
    for video in videos:
        if not video.failure and not is_web(video.uri):
            folder, _, name = video.uri.rpartition("/")
            names.setdefault(folder, set()).add(name[: len(name) - len(PurePosixPath(name).suffix)])
    found: list[Sidecar] = []
    unknown: set[str] = set()
    with ThreadPoolExecutor(FOLDERS_AT_ONCE, thread_name_prefix="sidecars") as pool:
        for folder, beside in zip(names, pool.map(_beside, names, names.values()), strict=True):
            if beside is None:
                unknown.add(folder)
            else:
                found += beside
    return [
        replace(video, sidecars_known=False) if video.uri.rpartition("/")[0] in unknown else video
        for video in with_sidecars(videos, found)
    ]


def _beside(folder: str, stems: set[str]) -> list[Sidecar] | None:
    """The subtitle files in a folder that bear one of these names; None when it cannot be listed."""
    try:
        listed = _in_bucket(folder, stems) if is_remote(folder) else _on_disk(folder)
        return [one for one in listed if any(stem in stems for stem, _ in split_name(one.name))]
    except FileNotFoundError:
        return []
    except (OSError, StorageError, UsageError) as error:
        log.warning("%s: subtitle files beside videos could not be looked up: %s", folder, error)
        return None


def _on_disk(folder: str) -> Iterator[Sidecar]:
    with os.scandir(folder or "/") as entries:
        names = sorted(entry.name for entry in entries if is_sidecar(entry.name) and entry.is_file())
    for name in names:
        facts = os.stat(f"{folder}/{name}")
        yield Sidecar(f"{folder}/{name}", facts.st_size, f"{facts.st_mtime_ns}-{facts.st_size}")


def _in_bucket(folder: str, stems: set[str]) -> Iterator[Sidecar]:
    storage = Storage.at(folder)
    starts = sorted(f"{stem}." for stem in stems)
    listed = pages_from(storage, starts) if folder.startswith(SORTED_STORES) else storage.list()
    for stored in listed:
        if "/" not in stored.path and is_sidecar(stored.path):
            yield Sidecar(storage.uri(stored.path), stored.size_bytes, stored.etag)


def pages_from(storage: Storage, starts: Sequence[str]) -> Iterator[Stored]:
    """Objects of a store whose listing is sorted: at least those that begin with one of the sorted `starts`, which end in a dot."""
    after: str | None = starts[0][:-1]
    while after is not None:
        page = storage.page(after)
        yield from page
        after = next_start(page[-1].path, starts) if len(page) == PAGE else None


def next_start(last: str, starts: Sequence[str]) -> str | None:
    """After which name a listing goes on that has come to `last`; None when no further name can begin with one of the sorted `starts`.

    >>> next_start("b.jpg", ["a.", "b.", "x."]), next_start("c.jpg", ["a.", "b.", "x."]), next_start("y", ["a.", "x."])
    ('b.jpg', 'x', None)
    >>> next_start("a.c", ["a.", "a.b."]), next_start("b-2", ["b."])
    ('a.c', 'b-2')
    """
    heads = (last[: at + 1] for at, letter in enumerate(last) if letter == ".")
    if any(starts[bisect_left(starts, head, hi=len(starts) - 1)] == head for head in heads):
        return last
    at = bisect_left(starts, last)
    return max(last, starts[at][:-1]) if at < len(starts) else None

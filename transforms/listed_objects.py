"""listed_objects: size and etag of objects that a list names, by pages of the store's own listing.

In:  uris of any kinds, and one client a bucket.
Out: what the stores say of those that lie close to each other: a page answers for up to a thousand, where a lookup answers for one.
     The others are left to be looked up one by one.
Bad: a bucket that may not be listed, or does not answer, gives nothing here: the lookups say what is wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor

from ..schemas.errors import StorageError, UsageError
from ..schemas.storage import PAGE, Storage, Stored

SORTED_STORES = ("s3://", "s3a://", "gs://")
"""Stores that list in the order of names, from any name on. Azure starts at the beginning."""

LEAST = 16
"""Objects for which a page is asked: a page costs as much as a dozen lookups."""


def listed_objects(uris: Iterable[str], clients: dict[str, Storage], pool: Executor) -> dict[str, Stored]:
    """What a listing says of some objects, by uri; those that lie alone are left out. `clients` gets the clients that it lacks."""
    named: dict[str, dict[str, str]] = {}
    for uri in uris:
        if uri.startswith(SORTED_STORES):
            storage, path = Storage.of_object(uri, whole_bucket=True)
            clients.setdefault(storage.root, storage)
            named.setdefault(storage.root, {})[path] = uri
    runs = []
    for root, of_path in named.items():
        paths = sorted(of_path)
        runs += [(root, paths[at : at + PAGE]) for at in range(0, len(paths), PAGE)]
    listed = pool.map(lambda run: side_by_side(clients[run[0]], run[1]), runs)
    return {named[root][one.path]: one for (root, _), found in zip(runs, listed, strict=True) for one in found}


def side_by_side(storage: Storage, paths: Sequence[str]) -> list[Stored]:
    """What pages of a listing say of some sorted paths, as long as a page holds LEAST of them."""
    found: list[Stored] = []
    wanted, at = {*paths}, 0
    while len(paths) - at >= LEAST:
        try:
            page = storage.page(paths[at][:-1])  # the last name that sorts before this one and all that begin with it
        except (StorageError, UsageError):
            break
        here = [one for one in page if one.path in wanted]
        found += here
        if len(here) < LEAST or len(page) < PAGE:
            break
        at = bisect_right(paths, page[-1].path)
    return found

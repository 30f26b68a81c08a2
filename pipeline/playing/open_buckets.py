"""Clients of the buckets that videos lie in. One for each: another client would connect anew."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ...schemas.storage import Storage

MOST_OPEN = 32


class OpenBuckets:
    """The most recently used storages, by root. May be asked by several threads."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Storage] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, uri: str) -> tuple[Storage, str]:
        """The storage of an object's bucket (or folder), and the object's path in it. Raises UsageError for no uri of a bucket."""
        storage, path = Storage.of_object(uri, whole_bucket=True)
        with self._lock:
            storage = self._open.setdefault(storage.root, storage)
            self._open.move_to_end(storage.root)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return storage, path

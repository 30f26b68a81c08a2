"""Addresses under which a browser reads a bucket's video from the store itself, without credentials and for some minutes."""

from __future__ import annotations

import logging
import time

from ...schemas.addresses import is_remote, is_web
from ...schemas.errors import ReelbeamError
from ...schemas.signed_urls import origin_of
from .open_buckets import OpenBuckets

log = logging.getLogger("reelbeam")

VALID_S = 600
"""How long an address is good. The page asks for another when it has run out."""

TRY_AGAIN_S = 600
"""How long a bucket that could not be signed for is not tried again."""


class SignedVideos:
    """Signs addresses of videos, where that is wanted and the store can. Others pass through the explorer."""

    def __init__(self, buckets: OpenBuckets, wanted: bool = True):
        self.buckets, self.wanted = buckets, wanted
        self._origins: dict[str, str] = {}
        self._not_before: dict[str, float] = {}

    def url(self, uri: str) -> str | None:
        """The address of a video, good for VALID_S; None where there is none to be had."""
        if not self.wanted or not is_remote(uri) or is_web(uri):
            return None
        storage, path = self.buckets.of(uri)
        if time.monotonic() < self._not_before.get(storage.root, 0.0):
            return None
        try:
            found = storage.signed(path, VALID_S)
        except ReelbeamError as error:
            log.warning("%s; videos pass through the explorer", error)
            self._not_before[storage.root] = time.monotonic() + TRY_AGAIN_S
            return None
        if found is None:
            return None
        self._origins[storage.root] = origin_of(found)
        return found if self._origins[storage.root] else None

    def origin(self, uri: str) -> str:
        """Where the addresses of a video's bucket lead: `https://host`; empty where there are none."""
        if not self.wanted or not is_remote(uri) or is_web(uri):
            return ""
        root = self.buckets.of(uri)[0].root
        if root not in self._origins:
            self.url(uri)
        return "" if time.monotonic() < self._not_before.get(root, 0.0) else self._origins.get(root, "")

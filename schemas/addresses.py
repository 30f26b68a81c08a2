"""Kinds of locations: local paths, buckets and web addresses. Pure functions, no I/O."""

from __future__ import annotations

import re

REMOTE = re.compile(r"^(s3|s3a|gs|az|abfs|abfss|adl|azure|https?)://", re.IGNORECASE)
WEB = re.compile(r"^https?://", re.IGNORECASE)
CLOUD_HOST = re.compile(
    r"^https?://[^/]*(\.amazonaws\.com|\.windows\.net|\.fabric\.microsoft\.com|\.r2\.cloudflarestorage\.com)"
)
"""Host names that obstore treats as a cloud's own store, with credentials and listings."""


def is_remote(location: str) -> bool:
    """
    >>> is_remote("s3://bucket/videos"), is_remote("/data/videos"), is_remote("videos")
    (True, False, False)
    """
    return bool(REMOTE.match(location))


def is_web(location: str) -> bool:
    """Whether a location is on a plain web server, which cannot list files and whose addresses may have a query.

    >>> is_web("https://host/a.mp4?token=1"), is_web("https://account.blob.core.windows.net/c/a.mp4")
    (True, False)
    """
    return bool(WEB.match(location)) and not CLOUD_HOST.search(location)


def join(root: str, path: str) -> str:
    """The full uri of a path below a root."""
    return f"{root.rstrip('/')}/{path}" if path else root

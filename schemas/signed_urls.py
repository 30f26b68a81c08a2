"""Addresses of single objects that need no credentials and are good for some minutes: S3, GCS and Azure sign them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from .errors import StorageError
from .store_errors import first_line


def signed_url(store: Any, uri: str, path: str, valid_s: int) -> str | None:
    """The address of an object in an obstore client's store, good for so many seconds. Does not say whether the object is there.

    S3 and Azure keys sign here; GCS without a key of its own asks Google. Raises StorageError where that is not possible. None for an
    object of Azure whose name is percent-encoded in addresses, such as one with a space: obstore (0.12.1) signs the encoded name, and
    Azure compares with the plain one.
    """
    if not isinstance(store, S3Store | GCSStore | AzureStore):
        raise StorageError(f"{uri}: such a store signs no addresses")
    if isinstance(store, AzureStore) and quote(name := uri.partition("://")[2]) != name:
        return None
    try:
        return str(obstore.sign(store, "GET", path, timedelta(seconds=valid_s)))
    except (BaseError, ValueError) as error:
        raise StorageError(f"{uri}: no address can be signed: {first_line(error)}") from error


def origin_of(url: str) -> str:
    """The scheme, host and port of an address, as a Content-Security-Policy names them; empty for one that has none.

    >>> origin_of("https://b.s3.amazonaws.com/x?y"), origin_of("http://127.0.0.1:9000/b/x"), origin_of("http://a;b/")
    ('https://b.s3.amazonaws.com', 'http://127.0.0.1:9000', '')
    """
    parts = urlsplit(url)
    found = f"{parts.scheme}://{parts.netloc}"
    return found if re.fullmatch(r"https?://[A-Za-z0-9.\-_]+(:\d+)?", found) else ""

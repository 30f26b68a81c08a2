"""Access to a folder on local disk or a prefix in an object store (S3, GCS, Azure), with obstore.

Paths are relative to the root of a `Storage` and use forward slashes. Credentials, regions and endpoints come from the
environment variables that each cloud's own tools read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, NotFoundError
from obstore.store import HTTPStore, LocalStore, from_url

from .addresses import is_remote, is_web, join
from .errors import ObjectRefused, StorageError, UsageError
from .signed_urls import signed_url
from .spans import Span, coalesce, cut
from .store_errors import FIRST_WAIT_S, OF_ONE_OBJECT, TRIES, cure, first_line

log = logging.getLogger("reelbeam")

Method = TypeVar("Method", bound=Callable[..., Any])

MULTIPART_BYTES = 32 << 20

PAGE = 1000
"""Objects that stores list in one answer."""

REQUESTS_AT_ONCE = 16
"""Concurrent requests for the spans of one object."""


@dataclass(frozen=True)
class Stored:
    """One listed object. `etag` is the store's, or `mtime_ns-size` on a local disk."""

    path: str
    size_bytes: int
    etag: str
    mtime_ms: int


def file_sha256(file: Path) -> str:
    """The SHA-256 of a local file, in hex."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def persistent(call: Method) -> Method:
    """Decorates an idempotent request: retries it when the response of a remote store breaks off.

    Raises StorageError when retries do not help.
    """

    @functools.wraps(call)
    def tried(self: Storage, *args: Any) -> Any:
        for attempt in range(TRIES):
            try:
                return call(self, *args)
            except (BaseError, OSError) as error:
                if isinstance(error, FileNotFoundError):
                    raise
                place, reason = self.uri(str(args[0]) if args else ""), first_line(error)
                if self.is_local or attempt == TRIES - 1 or not isinstance(error, GenericError):
                    kind = ObjectRefused if isinstance(error, OF_ONE_OBJECT) else StorageError
                    raise kind(
                        f"{place}: {reason}; what was committed before stays. Cure: {cure(error)}; then run again"
                    ) from error
                log.warning("%s: %s; retrying", place, reason)
                time.sleep(FIRST_WAIT_S * 2**attempt)
        raise AssertionError("unreachable")

    return cast(Method, tried)


@dataclass(frozen=True)
class Storage:
    """A root folder or prefix, and operations below it. Picklable: each process opens its own client."""

    root: str
    """A bucket URL, or an absolute local path."""

    @classmethod
    def at(cls, location: str | Path) -> Storage:
        """Storage at a folder or bucket URL. Raises UsageError for a URL scheme that is not supported."""
        text = str(location)
        if is_remote(text):
            return cls(text.rstrip("/"))
        if "://" in text and not text.startswith("file://"):
            raise UsageError(f"{text}: unknown kind of storage; use a folder, s3://, gs:// or az://")
        return cls(str(Path(text.removeprefix("file://")).expanduser().absolute()))

    @classmethod
    def of_object(cls, uri: str, whole_bucket: bool = False) -> tuple[Storage, str]:
        """The storage of one object's folder (or whole bucket), and its path in it. For a web address: itself, and "".

        >>> Storage.of_object("s3://b/x/a.mp4"), Storage.of_object("s3://b/x/a.mp4", whole_bucket=True)
        ((Storage(root='s3://b/x'), 'a.mp4'), (Storage(root='s3://b'), 'x/a.mp4'))
        """
        if is_web(uri):
            return cls(uri), ""
        if whole_bucket and re.match(r"(s3|s3a|gs)://[^/]+/.", uri):
            scheme, _, rest = uri.partition("://")
            bucket, _, path = rest.partition("/")
            return cls(f"{scheme}://{bucket}"), path
        folder, _, name = uri.rpartition("/")
        return cls.at(folder or "/"), name

    @property
    def is_local(self) -> bool:
        return not is_remote(self.root)

    @cached_property
    def _store(self) -> Any:
        if self.is_local:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            return LocalStore(self.root)
        if is_web(self.root):
            return HTTPStore.from_url(self.root, client_options={"allow_http": True})
        try:
            return from_url(self.root)
        except (BaseError, ValueError) as error:
            raise UsageError(f"{self.root}: not an address of a store: {first_line(error)}") from error

    def __getstate__(self) -> dict[str, str]:
        return {"root": self.root}

    def uri(self, path: str) -> str:
        return join(self.root, path)

    def local_path(self, path: str) -> Path | None:
        """The path of an object on this machine's disk; None when it is remote."""
        return Path(self.root, path) if self.is_local else None

    def list(self, prefix: str = "", after: str = "") -> Iterator[Stored]:
        """Every object below a prefix, sorted by path; with `after` only those whose path sorts after it."""
        if self.is_local and not Path(self.root, prefix).exists():
            return
        for meta in sorted(self._pages(prefix, after), key=lambda meta: meta["path"]):
            yield self._stored(meta["path"], meta)

    @persistent
    def _pages(self, prefix: str, after: str) -> Sequence[Any]:
        return [meta for page in obstore.list(self._store, prefix or None, offset=after or None) for meta in page]

    @persistent
    def page(self, after: str) -> Sequence[Stored]:
        """The first PAGE objects whose paths sort after `after`, in the store's order; fewer are the last ones. One request, where the
        store can start a listing anywhere."""
        pages = obstore.list(self._store, offset=after, chunk_size=PAGE)
        return [self._stored(meta["path"], meta) for meta in next(iter(pages), ())]

    def unfinished(self) -> Sequence[Stored]:
        """Temporary files of crashed writers on a local disk, which listings do not show. Unfinished uploads to a bucket are not
        included: its lifecycle rules delete them."""
        if not self.is_local or not Path(self.root).exists():
            return []
        found = []
        for file in sorted(Path(self.root).rglob("*#*")):
            if file.is_file() and re.search(r"#\d+$", file.name):
                facts = file.stat()
                path = str(file.relative_to(self.root))
                found.append(Stored(path, facts.st_size, "", facts.st_mtime_ns // 1_000_000))
        return found

    def discard(self, piece: Stored) -> None:
        """Deletes an unfinished piece."""
        Path(self.root, piece.path).unlink(missing_ok=True)

    @persistent
    def head(self, path: str) -> Stored:
        """Size, etag and time of one object. Raises FileNotFoundError."""
        try:
            return self._stored(path, obstore.head(self._store, path))
        except NotFoundError as error:
            raise FileNotFoundError(self.uri(path)) from error
        except BaseError:
            if not is_web(self.root):
                raise
            return self._stored(path, obstore.get(self._store, path).meta)  # a signed address may allow GET alone

    def _stored(self, path: str, meta: Any) -> Stored:
        size = meta["size"]
        mtime = meta["last_modified"]
        etag = meta.get("e_tag") or ""
        if self.is_local:  # obstore's own local etag holds the inode, which differs between copies of a disk
            etag = f"{Path(self.root, path).stat().st_mtime_ns}-{size}"
        elif not etag and is_web(self.root):  # a plain web server has no etags
            etag = f"{int(mtime.timestamp())}-{size}"
        return Stored(path, size, etag, int(mtime.timestamp() * 1000))

    @persistent
    def get(self, path: str) -> bytes:
        """All bytes of an object. Raises FileNotFoundError."""
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except NotFoundError as error:
            raise FileNotFoundError(self.uri(path)) from error

    def signed(self, path: str, valid_s: int) -> str | None:
        """An address of an object that is good for so long without credentials. See signed_urls.py for what it raises, and for None."""
        return signed_url(self._store, self.uri(path), path, valid_s)

    def get_ranges(self, path: str, starts: Sequence[int], length: int) -> Sequence[bytes]:
        """Byte ranges of one object, all of the same length. Close ones share a request. Raises FileNotFoundError."""
        spans = coalesce((start, start + length) for start in starts)
        pieces = self.get_spans(path, spans)
        return [cut(spans, pieces, start, start + length) or b"" for start in starts]

    @persistent
    def get_spans(self, path: str, spans: Sequence[Span]) -> Sequence[bytes]:
        """The bytes of each span of one object, with concurrent requests. Raises FileNotFoundError.

        obstore's own `get_ranges` bridges gaps of up to a megabyte, which would download most of a file for a few rows.
        """

        def one(span: Span) -> bytes:
            return bytes(obstore.get_range(self._store, path, start=span[0], end=span[1]))

        try:
            if len(spans) < 2:
                return [one(span) for span in spans]
            with ThreadPoolExecutor(min(REQUESTS_AT_ONCE, len(spans))) as pool:
                return list(pool.map(one, spans))
        except NotFoundError as error:
            raise FileNotFoundError(self.uri(path)) from error

    @persistent
    def fetch(self, path: str, to: Path) -> None:
        """Copies an object to a local file, in pieces. The file appears complete or not at all."""
        part = to.with_name(to.name + ".part")
        try:
            with open(part, "wb") as out:
                for piece in obstore.get(self._store, path).stream():
                    out.write(piece)
            part.replace(to)
        except NotFoundError as error:
            raise FileNotFoundError(self.uri(path)) from error
        finally:
            part.unlink(missing_ok=True)

    @persistent
    def put(self, path: str, content: bytes) -> None:
        """Writes a whole object, replacing an existing one."""
        obstore.put(self._store, path, content)

    @persistent
    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Writes an object only if it does not exist yet, else returns False. The existing object may be this very one, if the
        store accepted it and the response was lost."""
        try:
            obstore.put(self._store, path, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    def touch(self) -> float:
        """Writes and deletes a small object, and returns the store's time in seconds since 1970. Raises StorageError when the store
        is not writable, so that a job fails before hours of work."""
        path = f"runs/{secrets.token_hex(6)}.try"
        self.put(path, b"")
        written_ms = self.head(path).mtime_ms
        self.delete(path)
        return written_ms / 1000

    @persistent
    def put_file(self, path: str, file: Path) -> None:
        """Writes a whole object from a local file, in parts when it is large."""
        with open(file, "rb") as stream:
            obstore.put(self._store, path, stream, chunk_size=MULTIPART_BYTES)

    @persistent
    def sha256(self, path: str) -> str:
        """The SHA-256 of an object, in hex, read in pieces. Raises FileNotFoundError."""
        digest = hashlib.sha256()
        try:
            for piece in obstore.get(self._store, path).stream():
                digest.update(piece)
        except NotFoundError as error:
            raise FileNotFoundError(self.uri(path)) from error
        return digest.hexdigest()

    @persistent
    def delete(self, path: str) -> None:
        """Deletes an object. A missing object is not an error."""
        with contextlib.suppress(NotFoundError, FileNotFoundError):
            obstore.delete(self._store, path)

"""walk_folder: lists the files of a local folder, with a Failure for each name, link or folder that cannot be read.

In:  an absolute folder on local disk.
Out: `Found`: a relative path with size and mtime, or a relative path with the reason why it cannot be read. Sorted by path.
Bad: nothing below the folder raises. Links to folders are followed, except a link to a folder that contains the link.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..schemas.addresses import join
from ..schemas.elements import Video
from ..schemas.errors import Failure, InputError

STAGE = "list"
"""Stage of every failure of a listing."""


@dataclass(frozen=True)
class Found:
    """One name below a folder. `failure` is None for a readable regular file."""

    path: str
    """Relative, with forward slashes. Bytes that are not UTF-8 appear as Python surrogates."""
    size_bytes: int = 0
    mtime_ns: int = 0
    failure: Failure | None = None
    is_folder: bool = False


def printable(name: str) -> str:
    r"""A name that every table can store: control characters and bytes that are not UTF-8 are escaped.

    >>> printable("b\udcff.mp4"), printable("a\nb.mp4"), printable("ünï.mp4")
    ('b\\xff.mp4', 'a\\nb.mp4', 'ünï.mp4')
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(char.encode("unicode_escape").decode() if is_control(char) else char for char in text)


def is_control(char: str) -> bool:
    """Whether a character is an ASCII control character, which object stores do not allow in names."""
    return ord(char) < 32 or ord(char) == 127


def name_failure(name: str) -> Failure | None:
    r"""The reason why a name cannot be stored; None for a valid name.

    >>> name_failure("a.mp4") is None, name_failure("a\nb.mp4").kind
    (True, 'bad_name')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return failure("bad_name", "the name is not UTF-8; cure: rename it")
    if any(is_control(char) for char in name):
        return failure("bad_name", "the name holds a line break or another control character; cure: rename it")
    return None


def failure(kind: str, message: str, *, retryable: bool = False) -> Failure:
    """A failure of the listing."""
    return Failure.of(STAGE, InputError(kind, message, retryable=retryable))


def os_failure(error: OSError) -> Failure:
    """An error of the operating system about a file or folder, as a failure of the listing."""
    if isinstance(error, FileNotFoundError):
        return failure("vanished", "it was listed, and was gone a moment later", retryable=True)
    if isinstance(error, PermissionError):
        return failure("unreadable", "no permission to read it; cure: chmod, or run as its owner", retryable=True)
    return failure("unreadable", error.strerror or repr(error), retryable=True)


def failed_video(video_id_of: Callable[[str], str], uri: str, why: Failure) -> Video:
    """A video that the listing could not reach: size 0, no etag, and the reason."""
    name = printable(uri)
    return Video(video_id_of(name), name, 0, "", failure=why)


def walk_folder(root: Path, descend: Callable[[str], bool] = lambda _: True) -> Iterator[Found]:
    """Every file below `root`, sorted by path within each folder. Enters only relative folders for which `descend` is True."""
    held = os.stat(root)
    yield from _walk(str(root), "", ((held.st_dev, held.st_ino),), descend)


def _walk(
    root: str, folder: str, above: tuple[tuple[int, int], ...], descend: Callable[[str], bool]
) -> Iterator[Found]:
    try:
        with os.scandir(join(root, folder)) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        yield Found(folder, failure=os_failure(error), is_folder=True)
        return
    for name in names:
        path = join(folder, name) if folder else name
        try:
            facts = os.stat(join(root, path))
        except OSError as error:
            yield Found(path, failure=_link_failure(join(root, path), error))
            continue
        if stat.S_ISREG(facts.st_mode):
            yield Found(path, facts.st_size, facts.st_mtime_ns, name_failure(name))
        elif not stat.S_ISDIR(facts.st_mode):
            yield Found(path, failure=failure("not_a_file", "it is a pipe, socket or device"))
        elif not descend(path):
            continue
        elif (facts.st_dev, facts.st_ino) in above:
            yield Found(
                path, failure=failure("link_loop", "the link leads to a folder that it lies in"), is_folder=True
            )
        elif why := name_failure(name):
            yield Found(path, failure=why, is_folder=True)
        else:
            yield from _walk(root, path, (*above, (facts.st_dev, facts.st_ino)), descend)


def _link_failure(path: str, error: OSError) -> Failure:
    """The failure for a name that `os.stat` cannot read: a dangling or circular link, or a file that has vanished."""
    if not os.path.islink(path):
        return os_failure(error)
    if isinstance(error, FileNotFoundError):
        return failure("dangling_link", f"the link leads to {printable(os.readlink(path))}, which is not there")
    return failure("link_loop" if error.errno == errno.ELOOP else "unreadable", f"link: {error.strerror}")

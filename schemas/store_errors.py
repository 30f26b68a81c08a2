"""Errors of stores and disks: which ones concern a single object, how often a request is repeated, and how to cure them."""

from __future__ import annotations

import errno

from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

OF_ONE_OBJECT = (PermissionDeniedError, UnauthenticatedError, InvalidPathError)
"""Errors that may concern a single object, such as an archived one."""


TRIES = 6
"""Attempts of one request to a remote store. obstore itself retries when a server answers 5xx or is unreachable, but not when a
response breaks off in the middle."""

FIRST_WAIT_S = 0.2
"""Wait before the second attempt. Each further attempt doubles it."""


def first_line(error: Exception) -> str:
    """A library's message without its debug output."""
    return (str(error).splitlines() or [repr(error)])[0]


def cure(error: Exception) -> str:
    """The cure for an error of a store or a disk.

    >>> cure(OSError(errno.ENOSPC, "No space left on device")), cure(FileExistsError(errno.EEXIST, "File exists"))
    ('free some room', 'it is a file where a folder is wanted; give another path')
    """
    code, said = getattr(error, "errno", None), str(error)
    if code in (errno.EEXIST, errno.ENOTDIR) or "Not a directory" in said or "File exists" in said:
        return "it is a file where a folder is wanted; give another path"
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in said:
        return "free some room"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS) or "ermission denied" in said or "Read-only" in said:
        return "permission for this path"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "credentials that may do this; they come from the environment"
    if isinstance(error, InvalidPathError):
        return "rename the object: stores take no control characters, empty parts or dots alone in a name"
    return "room, permission or a connection, as it says"

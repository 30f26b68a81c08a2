"""The exception classes, and the Failure record of a bad input.

There are two families. An `InputError` is the fault of one video: it is caught, becomes a `Failure` row, and affects only that
video. A `ReelbeamError` is the fault of the caller or the machine: it ends the command with its own exit code and a message
that says what was seen, what was wanted, and what cures it.
"""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE_CHARS = 600
"""Longest message stored in a failure: ffmpeg can repeat one message a hundred thousand times."""

EXIT_CODES: dict[int, tuple[str, str]] = {
    0: ("done; bad inputs are recorded as failures, not errors", "go on"),
    1: ("a fault of the program, the machine or the network", "run again; alert if it repeats"),
    2: ("wrong options, missing weights or mismatched models; nothing was done", "alert a person"),
    3: (
        "a gate refused to publish: `--min-recall`, `--max-failed` or `--max-removed`",
        "alert a person; what was committed before stays current",
    ),
    4: ("stored data is corrupt", "alert a person; run no `compact` or `purge` before the cause is known"),
    5: ("other writers kept publishing first", "run again; look for two schedules"),
    130: ("stopped by Ctrl-C; what was committed stays", "run again"),
}
"""Every exit code of the command: what it means, and what a scheduler should do."""


class ReelbeamError(Exception):
    """Ends a command. `exit_code` is what a scheduler sees."""

    exit_code = 1


class UsageError(ReelbeamError):
    """An option, a path or a combination of them is wrong. Nothing was done."""

    exit_code = 2


class MissingWeights(ReelbeamError):
    """Model weights are not on this machine and cannot be fetched. Nothing was done."""

    exit_code = 2


class ModelMismatch(ReelbeamError):
    """Features of two different models would be mixed: a query and an index, or a run and a dataset."""

    exit_code = 2


class GateError(ReelbeamError):
    """A quality gate refused to publish: recall under `--min-recall`, or too many failed videos."""

    exit_code = 3


class CorruptOutput(ReelbeamError):
    """Stored data do not match the snapshot: a hash, a count, an order or an id differs."""

    exit_code = 4


class StorageError(ReelbeamError):
    """A store or disk failed: full, not writable or not reachable. Earlier commits are kept."""

    exit_code = 1


class ObjectRefused(StorageError):
    """A store refused one object: no permission, or an invalid name."""


class CommitConflict(ReelbeamError):
    """Another writer published the next snapshot first."""

    exit_code = 5


class InputError(Exception):
    """A fault of one video. `kind` is a short stable word to group by; `retryable` tells whether a retry may help."""

    def __init__(self, kind: str, message: str, *, retryable: bool = False):
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


@dataclass(frozen=True)
class Failure:
    """A failure: its stage, kind and message. `start_ms` and `end_ms` bound the lost part (0, 0: the whole video)."""

    stage: str
    kind: str
    message: str
    retryable: bool = False
    start_ms: int = 0
    end_ms: int = 0

    @classmethod
    def of(cls, stage: str, error: InputError, start_ms: int = 0, end_ms: int = 0) -> Failure:
        return cls(stage, error.kind, shorten(str(error)), error.retryable, start_ms, end_ms)


def shorten(message: str) -> str:
    """A message as one line of at most MESSAGE_CHARS characters. The middle of a longer one is cut out.

    >>> shorten("a  b\\n c")
    'a b c'
    """
    line = " ".join(message.split())
    if len(line) <= MESSAGE_CHARS:
        return line
    half = MESSAGE_CHARS // 2 - 3
    return f"{line[:half]} ... {line[-half:]}"

"""The exception tree, and the Failure record that a bad input becomes.

Two families. An `InputError` is the fault of one video: it is caught, becomes a `Failure` row, and costs that
video alone. Everything else under `ReelbeamError` is the caller's or the machine's fault: it ends the command with
its own exit code and a message that says what was seen, what was wanted, and what cures it.
"""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE_CHARS = 600
"""Longest message kept in a failure: ffmpeg can repeat one complaint a hundred thousand times."""

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
    """Features of two different models would meet: a query and an index, a run and a dataset."""

    exit_code = 2


class GateError(ReelbeamError):
    """A quality gate refused to publish: recall under `--min-recall`, or too many failed videos."""

    exit_code = 3


class CorruptOutput(ReelbeamError):
    """What is stored does not match what the snapshot promises: a hash, a count, an order, an id."""

    exit_code = 4


class StorageError(ReelbeamError):
    """A store or a disk refused: full, not to be written to, not to be reached. What was committed before stays."""

    exit_code = 1


class ObjectRefused(StorageError):
    """A store refused one object: no permission for it, or a name that it does not take."""


class CommitConflict(ReelbeamError):
    """Another writer published the next snapshot first."""

    exit_code = 5


class InputError(Exception):
    """One video's own fault. `kind` is a short stable word to count by, `retryable` whether trying again can help."""

    def __init__(self, kind: str, message: str, *, retryable: bool = False):
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


@dataclass(frozen=True)
class Failure:
    """What failed, where, and in whose words. `start_ms` and `end_ms` bound what was lost (0, 0: the whole video)."""

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
    """One line of at most MESSAGE_CHARS characters; the middle of a longer one is left out.

    >>> shorten("a  b\\n c")
    'a b c'
    """
    line = " ".join(message.split())
    if len(line) <= MESSAGE_CHARS:
        return line
    half = MESSAGE_CHARS // 2 - 3
    return f"{line[:half]} ... {line[-half:]}"

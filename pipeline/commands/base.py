"""What commands share."""

from __future__ import annotations

from ...schemas.errors import UsageError


def none_left(flags: list[str], command: str) -> None:
    """Raises UsageError for an option that nobody knows."""
    if flags:
        raise UsageError(f"unknown option {flags[0]}; see reelbeam {command} --help")

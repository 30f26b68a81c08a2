"""One file per command: its arguments, its output, its exit code. The work itself is done in the other rooms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

NAMES = (
    *("extract", "index", "nightly", "search", "knn", "similar", "near-duplicates", "tag", "keyframes", "outliers"),
    *(
        "explore",
        "export",
        "timeline",
        "map",
        "report",
        "status",
        "verify",
        "snapshots",
        "diff",
        "restore",
        "compact",
        "purge",
    ),
    *("plan", "models", "doctor"),
)
"""In the order of the help."""


class Commands(Mapping[str, ModuleType]):
    """The module of each command, imported when it is asked for: a command starts without what the others need."""

    def __getitem__(self, name: str) -> ModuleType:
        """Raises KeyError for a name that is no command."""
        if name not in NAMES:
            raise KeyError(name)
        return import_module(f".{name.replace('-', '_')}", __name__)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


COMMANDS = Commands()
"""A module has HELP, OPTIONS (an options class or None), `arguments(parser)`, and `run(args, rest)`, which returns the exit
code; `rest` is what no argument took."""

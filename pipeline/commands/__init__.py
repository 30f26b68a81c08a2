"""One file a command: what it is asked, what it prints, its exit code. The work itself is in the modules beside this folder."""

from __future__ import annotations

from types import ModuleType

from . import export, extract, index, map, search, status, timeline, verify

COMMANDS: dict[str, ModuleType] = {
    "extract": extract,
    "index": index,
    "search": search,
    "export": export,
    "timeline": timeline,
    "map": map,
    "status": status,
    "verify": verify,
}
"""In the order of the help. A module has HELP, OPTIONS (an options class or None), `arguments(parser)`, and
`run(args, rest)`, which returns the exit code; `rest` is what no argument took."""

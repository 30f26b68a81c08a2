"""One file a command: what it is asked, what it prints, its exit code. The work itself is in the modules beside this folder."""

from __future__ import annotations

from types import ModuleType

from . import (
    compact,
    diff,
    doctor,
    export,
    extract,
    index,
    keyframes,
    knn,
    map,
    models,
    near_duplicates,
    nightly,
    outliers,
    purge,
    restore,
    search,
    similar,
    snapshots,
    status,
    tag,
    timeline,
    verify,
)

COMMANDS: dict[str, ModuleType] = {
    "extract": extract,
    "index": index,
    "nightly": nightly,
    "search": search,
    "knn": knn,
    "similar": similar,
    "near-duplicates": near_duplicates,
    "tag": tag,
    "keyframes": keyframes,
    "outliers": outliers,
    "export": export,
    "timeline": timeline,
    "map": map,
    "status": status,
    "verify": verify,
    "snapshots": snapshots,
    "diff": diff,
    "restore": restore,
    "compact": compact,
    "purge": purge,
    "models": models,
    "doctor": doctor,
}
"""In the order of the help. A module has HELP, OPTIONS (an options class or None), `arguments(parser)`, and
`run(args, rest)`, which returns the exit code; `rest` is what no argument took."""

"""Manifests: immutable lists of shards, so that a snapshot stays small however many shards a dataset has.

A snapshot lists its newest shards itself, and older ones by manifests of at least INLINE shards, which are merged in levels of
FAN_OUT. Videos that are removed from a manifest's shards are noted in the snapshot, until there are so many of them that the
manifest is written again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from .errors import CorruptOutput
from .file_records import ShardInfo
from .storage import REQUESTS_AT_ONCE, Storage

INLINE = 128
"""Number of newest shards from which they are moved into a manifest."""

FAN_OUT = 16
"""Number of manifests of one level that are merged into one."""

LEVEL_SHARDS = (INLINE * FAN_OUT, INLINE * FAN_OUT**2)
"""Shards from which a manifest belongs to level 1 and to level 2. Manifests of level 2 are not merged."""

MOST_HELD = 1_024
"""Manifests that a process keeps in memory."""


@dataclass(frozen=True)
class Manifest:
    """One stored list of shards."""

    path: str
    bytes: int
    sha256: str
    shards: tuple[ShardInfo, ...] = field(compare=False, repr=False)
    """Its shards as they were when it was written."""


@dataclass(frozen=True)
class Part:
    """A manifest in a snapshot, with what has changed since it was written."""

    manifest: Manifest
    removed: dict[str, ShardInfo]
    """By path, its shards in which other videos are removed now."""
    gone: tuple[str, ...]
    """Paths of its shards that are in the snapshot no more."""

    @property
    def notes(self) -> int:
        """Number of removed videos and shards that the snapshot has to note."""
        return len(self.gone) + sum(len(shard.removed) for shard in self.removed.values())

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """Its shards as they are now."""
        if not self.notes:
            return self.manifest.shards
        gone = set(self.gone)
        return tuple(self.removed.get(one.path, one) for one in self.manifest.shards if one.path not in gone)

    def to_json(self) -> dict[str, Any]:
        manifest = {"path": self.manifest.path, "bytes": self.manifest.bytes, "sha256": self.manifest.sha256}
        removed = {path: [shard.removed, shard.removed_rows] for path, shard in self.removed.items()}
        return {"manifest": manifest, "removed": removed, "gone": self.gone}


Listed = ShardInfo | Part
"""One entry of a snapshot's list of shards."""


def listed(shards: Sequence[ShardInfo], manifests: Iterable[Manifest]) -> list[Listed]:
    """How a snapshot lists its shards: by those of `manifests` that still hold, in order, and singly.

    A manifest holds when its shards are a stretch of `shards`, but for removed videos and shards that are gone.
    """
    after: list[Listed] = []
    left, paths = tuple(shards), frozenset[str]()
    at = 0
    for manifest in manifests:
        if left[at : at + len(manifest.shards)] == manifest.shards:  # quick: most are the very same objects
            after.append(Part(manifest, {}, ()))
            at += len(manifest.shards)
            continue
        paths = paths or frozenset(shard.path for shard in left)
        if not (here := [shard for shard in manifest.shards if shard.path in paths]):
            continue
        start = at
        while start < len(left) and left[start].path != here[0].path:
            start += 1
        now = left[start : start + len(here)]
        if len(now) == len(here) and all(_differ_in_removed(*pair) for pair in zip(here, now, strict=True)):
            after += left[at:start]
            removed = {new.path: new for old, new in zip(here, now, strict=True) if new != old}
            gone = tuple(shard.path for shard in manifest.shards if shard.path not in paths)
            after.append(Part(manifest, removed, gone))
            at = start + len(here)
    return [*after, *left[at:]]


def _differ_in_removed(old: ShardInfo, new: ShardInfo) -> bool:
    """Whether two records are of one shard and of the same rows."""
    return new is old or new == replace(old, removed=new.removed, removed_rows=new.removed_rows)


def is_due(part: Part) -> bool:
    """Whether a snapshot notes so much of a manifest that it is written again: a 16th of its shards, and 64."""
    return part.notes > 64 + len(part.manifest.shards) // 16


def merged(
    shards: Sequence[ShardInfo],
    manifests: Iterable[Manifest],
    write: Callable[[tuple[ShardInfo, ...]], Manifest],
) -> tuple[Manifest, ...]:
    """The manifests of a snapshot with these shards, after the merges that are due. `write` stores a new one."""
    groups: list[tuple[list[Listed], int]] = []  # entries that become one, and the number of their shards
    entries: list[Listed] = []
    for entry in listed(shards, manifests):
        entries += entry.shards if isinstance(entry, Part) and is_due(entry) else [entry]
    loose: list[ShardInfo] = []
    for entry in entries:
        if isinstance(entry, ShardInfo):
            loose.append(entry)
            continue
        if loose:  # single shards come last only
            _push(groups, [*loose], len(loose))
            loose = []
        _push(groups, [entry], len(entry.manifest.shards))
    if len(loose) >= INLINE:
        _push(groups, [*loose], len(loose))
    after = []
    for group, _ in groups:
        only = group[0]
        whole = len(group) == 1 and isinstance(only, Part)
        after.append(only.manifest if whole and isinstance(only, Part) else write(_shards_of(group)))
    return tuple(after)


def _push(groups: list[tuple[list[Listed], int]], group: list[Listed], shards: int) -> None:
    groups.append((group, shards))
    for limit in LEVEL_SHARDS:
        due = 0
        while due < len(groups) and groups[-1 - due][1] < limit:
            due += 1
        if due >= FAN_OUT:
            together = groups[-due:]
            groups[-due:] = [([one for held, _ in together for one in held], sum(count for _, count in together))]


def _shards_of(group: Iterable[Listed]) -> tuple[ShardInfo, ...]:
    return tuple(shard for one in group for shard in (one.shards if isinstance(one, Part) else (one,)))


_held: dict[tuple[str, str], Manifest] = {}  # (root, path) -> a manifest, which never changes


def write_manifest(storage: Storage, shards: tuple[ShardInfo, ...]) -> Manifest:
    """Stores a list of shards under a new name."""
    content = json.dumps({"shards": [vars(shard) for shard in shards]}).encode()
    path = f"manifests/{secrets.token_hex(8)}.json"
    storage.put(path, content)
    return _hold(storage, Manifest(path, len(content), sha256(content).hexdigest(), shards))


def _hold(storage: Storage, manifest: Manifest) -> Manifest:
    while len(_held) >= MOST_HELD:
        del _held[next(iter(_held))]
    _held[storage.root, manifest.path] = manifest
    return manifest


def read_manifest(storage: Storage, fields: dict[str, Any]) -> Manifest:
    """The manifest that a snapshot names. A process reads each once.

    Raises FileNotFoundError, and CorruptOutput when it is not what was written.
    """
    path, digest = str(fields["path"]), str(fields["sha256"])
    known = _held.get((storage.root, path))
    if known and known.sha256 == digest:
        return known
    content = storage.get(path)
    if sha256(content).hexdigest() != digest:
        raise CorruptOutput(
            f"{storage.uri(path)} is not the list of shards that was written: {len(content)} bytes with another sha256. "
            "Cure: restore it from a copy, or go back to an older snapshot with reelbeam restore"
        )
    shards = tuple(ShardInfo.from_json(shard) for shard in json.loads(content)["shards"])
    return _hold(storage, Manifest(path, len(content), digest, shards))


def unlisted(storage: Storage, entries: Sequence[dict[str, Any]]) -> tuple[tuple[ShardInfo, ...], tuple[Manifest, ...]]:
    """The shards and manifests of a snapshot's list, as JSON holds it. Manifests are read with concurrent requests.

    Raises FileNotFoundError, and CorruptOutput when a manifest is not what was written.
    """
    named = [entry["manifest"] for entry in entries if "manifest" in entry]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        manifests = tuple(pool.map(lambda fields: read_manifest(storage, fields), named) if named else ())
    by_path = {manifest.path: manifest for manifest in manifests}
    shards: list[ShardInfo] = []
    for entry in entries:
        if "manifest" not in entry:
            shards.append(ShardInfo.from_json(entry))
            continue
        manifest, notes = by_path[entry["manifest"]["path"]], entry["removed"]
        if not notes and not entry["gone"]:
            shards += manifest.shards
            continue
        removed = {
            shard.path: replace(shard, removed=tuple(notes[shard.path][0]), removed_rows=notes[shard.path][1])
            for shard in manifest.shards
            if shard.path in notes
        }
        shards += Part(manifest, removed, tuple(entry["gone"])).shards
    return tuple(shards), manifests

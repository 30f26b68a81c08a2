"""The indexes of a dataset, kept up to date by a night: the one that its options name, and every other one that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...schemas import snapshot as snapshots
from ...schemas.errors import GateError, ReelbeamError
from ...schemas.night_report import IndexUpdate
from ...schemas.snapshot import IndexInfo, Snapshot
from ...schemas.storage import Storage
from ...schemas.vector_sources import VECTOR_SOURCES
from ..dataset import Dataset, shard_ids
from ..indexes import IndexOptions, read_manifest, update_index
from .verify import check_index


def update_indexes(
    storage: Storage, options: IndexOptions, standing: Mapping[str, IndexInfo], compacted: bool = False
) -> dict[str, IndexUpdate]:
    """Brings every index up to the current snapshot: the one of the options, those of the snapshot, and `standing` ones that
    other models made untrue, of the kind that was asked for when they were built. What was done, by name; an index that is up
    to date is left out. One that cannot be built stops no other: the first such error is raised at the end."""
    current = snapshots.load(storage)
    asked = {options.called: options}
    for name, built in {**standing, **current.indexes}.items():
        if name not in asked:
            kind = read_manifest(storage, built).asked
            asked[name] = replace(options, name=name, of=built.of, index=kind, full=False)
    done, errors = {}, []
    for name, wanted in asked.items():
        try:
            done[name] = update_one(storage, wanted, compacted)
        except ReelbeamError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return {name: made for name, made in done.items() if made}


def update_one(storage: Storage, options: IndexOptions, compacted: bool = False) -> IndexUpdate | None:
    """Updates one index, when a row came, went or changed since it was built, and when rows that no longer count have just
    left their shards. What has no vector has no index."""
    current, of = snapshots.load(storage), VECTOR_SOURCES[options.of]
    built = current.indexes.get(options.called)
    if built and built.rows == current.next_row and built.snapshot >= current.rows_changed and not compacted:
        return None
    if not of.is_stored(current.shape) or not any(len(shard_ids(of, storage, shard)) for shard in current.shards):
        if built:
            snapshots.commit_next(storage, lambda parent: _without(parent, options.called))
        return None
    published, made = update_index(storage.root, options)
    if published.indexes[options.called] == built:
        return None
    if problems := list(check_index(Dataset(storage, published), options.called, published.indexes[options.called])):
        raise GateError(f"the index that was just built is not as promised: {'; '.join(problems)}")
    return IndexUpdate(published.number, made.kind, made.vectors, made.recall_at_10)


def _without(parent: Snapshot | None, name: str) -> Snapshot:
    """The snapshot after `parent` without one of its indexes; `parent` itself where it has none of that name."""
    assert parent is not None
    if name not in parent.indexes:
        return parent
    left = {known: built for known, built in parent.indexes.items() if known != name}
    return replace(parent, number=parent.number + 1, parent=parent.number, created_at=snapshots.now(), indexes=left)

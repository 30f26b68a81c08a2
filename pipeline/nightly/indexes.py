"""The indexes of a dataset, kept up to date by a night: the one that its options name, and every other one that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...schemas import snapshot as snapshots
from ...schemas.errors import GateError, ReelbeamError
from ...schemas.file_records import IndexInfo
from ...schemas.night_report import IndexUpdate
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...schemas.vector_sources import VECTOR_SOURCES, WORDS
from ..dataset import Dataset, shard_ids
from ..indexes import IndexOptions, read_manifest, update_index
from ..words import NothingToIndex, check_words, update_words
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
            kind = "auto" if built.of == WORDS else read_manifest(storage, built).asked
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
    if options.of == WORDS:
        return update_lexical(storage, options)
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
    return IndexUpdate(published.number, made.kind, made.vectors, made.recall_at_10, options.of)


def update_lexical(storage: Storage, options: IndexOptions) -> IndexUpdate | None:
    """Updates the index of words, when a window or a title came, went or changed. Where nothing has words any more, it goes."""
    built = snapshots.load(storage).indexes.get(options.called)
    try:
        published, made = update_words(
            storage.root, options.called, options.full, options.memory_mb, options.merge_above
        )
    except NothingToIndex:
        if built:
            snapshots.commit_next(storage, lambda parent: _without(parent, options.called))
        return None
    info = published.indexes[options.called]
    if info == built:
        return None
    if problems := list(check_words(Dataset(storage, published), options.called, info)):
        raise GateError(f"the index that was just built is not as promised: {'; '.join(problems)}")
    return IndexUpdate(published.number, made.kind, made.documents, {}, options.of)


def _without(parent: Snapshot | None, name: str) -> Snapshot:
    """The snapshot after `parent` without one of its indexes; `parent` itself where it has none of that name."""
    assert parent is not None
    if name not in parent.indexes:
        return parent
    left = {known: built for known, built in parent.indexes.items() if known != name}
    return replace(parent, number=parent.number + 1, parent=parent.number, created_at=snapshots.now(), indexes=left)

"""Builds and updates a FAISS index, and rolls back any index, over a snapshot's frame, speech or fused embeddings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ...models.devices import pick_device
from ...schemas import snapshot as snapshots
from ...schemas.errors import CorruptOutput, UsageError
from ...schemas.index_manifest import IndexManifest
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...schemas.vector_sources import VECTOR_SOURCES
from ..dataset import Dataset, commit_index
from ..extraction import beam_options
from .changes import changes_since, decide
from .delta import Drift, delta_build
from .full_build import Encode, full_build
from .options import IndexOptions
from .queries import encode_texts
from .store import read_manifest, stored_settings

log = logging.getLogger("reelbeam")


def run_index(
    output: str, options: IndexOptions, beam_flags: Sequence[str] = (), encode: Encode | None = None, why: str = ""
) -> tuple[Snapshot, IndexManifest]:
    """Runs a full build and publishes it. Returns the new snapshot and the manifest that index.json stores.

    Raises GateError when the recall is below --min-recall, and UsageError when there is nothing to index.
    """
    pick_device(options.device)
    dataset = Dataset.open(output)
    encode = encode or partial(encode_texts, kind=VECTOR_SOURCES[options.of])
    return full_build(dataset, options, beam_options([*beam_flags]), encode, why or "asked for")


def update_index(
    output: str, options: IndexOptions, beam_flags: Sequence[str] = (), encode: Encode | None = None
) -> tuple[Snapshot, IndexManifest]:
    """Updates an index to the current snapshot with the cheapest step that still meets the recall gate.

    The step is one of: nothing, delta, merge, full build. Returns the current snapshot and the manifest that index.json
    stores; its `why` is the reason for the step. Raises the errors of `run_index`.
    """
    try:
        return _updated(output, options, beam_flags, encode)
    except FileNotFoundError as error:
        # Two builds of the same snapshot share a work folder. The first to publish deletes it, and its result serves both.
        log.info("index %s: %s; another build may have published meanwhile, retrying", options.called, error)
        return _updated(output, options, beam_flags, encode)


def _updated(
    output: str, options: IndexOptions, beam_flags: Sequence[str], encode: Encode | None
) -> tuple[Snapshot, IndexManifest]:
    dataset = Dataset.open(output)
    built = dataset.snapshot.indexes.get(options.called)
    if built is not None and built.of != options.of:
        raise UsageError(
            f"the index {options.called} is built of {built.of}, not of {options.of}; cure: --of {built.of}, or another --name"
        )
    if options.full or built is None:
        why = "--full is asked for" if options.full else f"there is no index {options.called} yet"
        return run_index(output, options, beam_flags, encode, why)
    try:
        manifest = read_manifest(dataset.storage, built)
        if manifest.covers is None:
            return run_index(output, options, beam_flags, encode, "the current build predates updates")
        change = changes_since(dataset, manifest)
        action, why = decide(dataset, manifest, change, options)
        log.info("index %s: %s: %s", options.called, action, why)
        if action == "none":
            return dataset.snapshot, replace(manifest, why=why)
        if action != "full":
            return delta_build(
                dataset, options, beam_options([*beam_flags]), manifest, change, action == "merge", f"{action}: {why}"
            )
    except Drift as drift:
        action, why = "full", f"the data has drifted: {drift}"
        log.info("index %s: full: %s", options.called, why)
    except (CorruptOutput, FileNotFoundError) as error:
        action, why = "full", f"the current build cannot be used: {error}"
        log.warning("index %s: full: %s", options.called, why)
    return run_index(output, options, beam_flags, encode, f"full: {why}")


def rollback(output: str, name: str) -> Snapshot:
    """Makes the previous build current again, in a new snapshot. Raises UsageError when there is none.

    Rows removed since that build stay removed: a search leaves them out. A search does not find rows added since.
    """
    dataset = Dataset.open(output)
    storage, current = dataset.storage, dataset.snapshot.indexes.get(name)
    if current is None:
        raise UsageError(f"{storage.root} has no index {name!r}; make it with: reelbeam index {storage.root}")
    path = current.path
    for number in reversed(snapshots.numbers(storage)):
        earlier = snapshots.load(storage, number).indexes.get(name)
        if earlier is not None and earlier.snapshot < current.snapshot and _second(earlier.path) <= _second(path):
            stored_settings(storage, earlier)
            missing = [file for file in earlier.files if not _is_there(storage, file)]
            if missing:
                raise UsageError(f"{earlier.path} was swept: {missing[0]} is missing; cure: reelbeam index --full")
            return commit_index(storage, name, earlier)
    raise UsageError(f"{path} is the oldest build of {name!r} in the snapshots: there is no earlier one to go back to")


def _second(path: str) -> str:
    """The start second of a build, from its folder name. The suffix is random, so two builds of one second have no order.

    >>> _second("indexes/frames/20261121T141157-96a18e")
    'indexes/frames/20261121T141157'
    """
    return path.rpartition("-")[0]


def _is_there(storage: Storage, path: str) -> bool:
    try:
        storage.head(path)
    except FileNotFoundError:
        return False
    return True

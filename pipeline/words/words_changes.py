"""What has changed since a lexical index was built: documents to add, ids to delete, and whether only a full build will do.

Row numbers are for life and never reused, so numbers are compared: windows of shards that are as they were stay unread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...schemas.file_records import ShardInfo
from ...schemas.index_manifest import mark
from ...schemas.small_arrays import held_in, united
from ...schemas.vector_sources import WORDS, is_made_with
from ...schemas.words_manifest import WordsManifest
from ..dataset import Dataset, are_held
from .analyzers import STEMMERS
from .documents import Titled, WindowWords, rows_in, stored_titles, titled, titles_array, window_words
from .window_texts import fields_of
from .words_store import DocumentIds

REBUILD_ABOVE = 0.5
"""A full build is cheaper than an update that touches a larger share of the documents."""


@dataclass(frozen=True)
class WordsChange:
    """Differences between a lexical index and the current snapshot."""

    before: DocumentIds
    windows: tuple[WindowWords, ...]
    """Windows to add."""
    gone: np.ndarray
    """Row numbers to delete, int64."""
    videos: tuple[Titled, ...]
    """Videos to add, with new or changed titles."""
    titles_gone: np.ndarray
    """Titles to delete: TITLES."""
    after: DocumentIds
    moved: bool
    """Whether the shards are others, though their rows may be the same."""
    must: str = ""
    """Why only a full build will do."""

    def __bool__(self) -> bool:
        return bool(self.windows or len(self.gone) or self.videos or len(self.titles_gone) or self.moved or self.must)

    def __str__(self) -> str:
        return (
            f"{len(self.windows)} windows are new, {len(self.gone)} are gone; "
            f"{len(self.videos)} titles are new, {len(self.titles_gone)} are gone"
        )

    def too_much(self, merge_above: float) -> str:
        """Why a full build is better; empty where an update will do."""
        if self.must:
            return self.must
        total = max(1, len(self.after.rows) + len(self.after.titles))
        touched = len(self.windows) + len(self.gone) + len(self.videos)
        if touched > REBUILD_ABOVE * total and total > 1000:
            return f"{touched} documents differ, of {total}"
        dead = len(self.after.dead_rows) + len(self.after.dead_titles)
        return (
            f"{dead} deleted documents are still in the files, of {total}" if dead > merge_above * total + 100 else ""
        )


def words_change(dataset: Dataset, manifest: WordsManifest, before: DocumentIds) -> WordsChange:
    """What must be added to and deleted from a lexical index. Reads the texts of shards that are new or changed."""
    snapshot = dataset.snapshot
    known = {shard.key: set(shard.removed) for shard in manifest.covers}
    same: list[ShardInfo] = []
    other: list[ShardInfo] = []
    for shard in snapshot.shards:
        seen = known.get((shard.path, shard.sha256, shard.first_row))
        (same if seen == {mark(video_id) for video_id in shard.removed} else other).append(shard)
    kept = [rows_in(shard, before.rows) for shard in same]
    held, again, added = set(before.rows.tolist()), [], []
    for window in window_words(dataset, other):
        if window.row in held:
            again.append(window.row)
        else:
            added.append(window)
    stayed = united(*kept, np.array(again, np.int64))
    gone = before.rows[~held_in(before.rows, stayed)]
    videos = titled(dataset)
    titles = titles_array(videos)
    titles_gone = before.titles[~np.isin(before.titles, titles)]
    fresh = {int(one["video"]) for one in titles[~np.isin(titles, before.titles)]}
    after = DocumentIds(
        united(stayed, np.array([window.row for window in added], np.int64)),
        titles,
        united(before.dead_rows, gone),
        np.unique(np.concatenate([before.dead_titles, titles_gone])),
    )
    must, wanted = "", fields_of(snapshot.shape)
    if not is_made_with(WORDS, manifest.models, snapshot):
        must = "the index was made with other models than the rows"
    elif manifest.fields != wanted:
        must = f"the index has the texts {', '.join(manifest.fields)}, wanted {', '.join(wanted)}"
    elif new := {language for window in added for language in window.languages} & STEMMERS.keys() - {
        *manifest.analyzers
    }:
        must = f"the first windows in the language {', '.join(sorted(new))}"
    elif erased := int((~are_held(snapshot.shards, after.dead_rows)).sum()):
        must = f"{erased} deleted windows have left their shards, so their words leave the files"
    elif len(after.dead_titles) and not np.isin(after.dead_titles, stored_titles(dataset)).all():
        must = "deleted titles have left the videos table, so their words leave the files"
    moved = bool(other) or len(same) != len(manifest.covers)
    return WordsChange(
        before, tuple(added), gone, tuple(one for one in videos if one.number in fresh), titles_gone, after, moved, must
    )

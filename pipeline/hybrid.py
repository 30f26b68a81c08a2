"""Search in what is said, in fused embeddings, in all at once, and for an exact phrase. Moments out, as `search` gives them.

Frames come from an index. The others read their column of every row and answer exactly; time is linear in the rows, memory is not.
`all` joins the lists by reciprocal rank fusion: a window's score is the sum over the lists of 1 / (RANK_OFFSET + rank).

Source: Cormack, Clarke, Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods".
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..models.clip import ClipEncoder
from ..models.fusion import HOWS, FusionSpec
from ..models.loaded import loaded
from ..models.text import TextEncoder, TextSpec
from ..schemas.errors import ModelMismatch, UsageError
from ..schemas.snapshot import Snapshot
from ..schemas.tables import tensor
from ..transforms.fuse import Windows, fuser_of
from .read import Dataset
from .search import Index, Moment

RANK_OFFSET = 0
"""The paper has 60, for many long lists. With three, what only one of them finds could then never win; measured on the
sample bucket's mixed queries, 0 is best (README)."""

DEPTH = 10
"""Moments of each list that are joined, for each one wanted."""

ROW = ["video_id", "uri", "window", "start_ms", "end_ms", "text"]


def text_encoder(snapshot: Snapshot, device: str) -> TextEncoder:
    """The sentence model that made a dataset. Raises ModelMismatch when the weights here are not the same."""
    made_with = snapshot.models["text"]
    spec = TextSpec(weights=made_with["weights"])
    if spec.identity() != made_with:
        raise ModelMismatch(
            f"the dataset's texts were embedded with {made_with['weights']} of sha256 {made_with['weights_sha256'][:12]}, "
            "which is not what is here; cure: install the version that made it"
        )
    return loaded(spec, device)


def fusion_of(snapshot: Snapshot) -> FusionSpec:
    """The fusion that made a dataset's fused embeddings. Raises UsageError where it has none, ModelMismatch for another file."""
    made_with = dict(snapshot.models.get("fusion", {}))
    if not snapshot.shape.fused_dim:
        raise UsageError(
            "the dataset has no fused embeddings; make them with: reelbeam nightly --fuse concat --remodel"
        )
    how, sha256 = made_with.get("how", "an unknown fusion"), made_with.get("weights_sha256", "")
    named = f"{how}, sha256 {sha256[:12]}" if sha256 else how
    cure = "cure: bring that file back to its place" if sha256 else "cure: install the version that made it"
    remade = "or run: reelbeam nightly --fuse HOW --remodel"
    if how not in HOWS and not Path(how).is_file():
        raise ModelMismatch(f"the dataset was fused by {named}, which is not here; {cure}, {remade}")
    spec = FusionSpec(**{name: made_with[name] for name in made_with if name not in ("model", "weights_sha256")})
    if spec.identity() != made_with:
        raise ModelMismatch(f"the dataset was fused by {named}, which is not the {how} that is here; {cure}, {remade}")
    return spec


def fused_query(snapshot: Snapshot, text: str, clip: ClipEncoder, words: TextEncoder, device: str) -> np.ndarray:
    """float32 [F]: a query is fused as a window in which the words stand for the picture, and are said, without sound."""
    shape = snapshot.shape
    seen, said = clip.encode_text([text]), words.encode([text])
    frames = np.zeros((1, shape.ticks, shape.frame_dim), np.float32)
    frames[:, 0] = seen
    valid = np.zeros((1, shape.ticks), bool)
    valid[:, 0] = True
    silence = np.zeros((1, shape.ticks, shape.audio_dim), np.float32)
    asked = Windows(frames, valid, silence, np.zeros_like(valid), said, seen)
    vector: np.ndarray = fuser_of(fusion_of(snapshot), device)(asked)[0]
    return vector


def nearest_rows(dataset: Dataset, column: str, query: np.ndarray, k: int) -> list[Moment]:
    """The k windows whose vector has the highest cosine to float32 [N], best first; rows without one are left out."""
    best: list[tuple[float, int, dict[str, Any]]] = []
    for numbers, batch in dataset.batches([column, *ROW]):
        there = batch[column].is_valid().to_numpy(zero_copy_only=False)
        scores = tensor(batch, column).astype(np.float32) @ query
        for at in np.flatnonzero(there)[np.argsort(-scores[there], kind="stable")[:k]]:
            candidate = (float(scores[at]), -int(numbers[at]))
            if len(best) < k or candidate > best[0][:2]:
                row = batch.select(ROW).slice(int(at), 1).to_pylist()[0]
                (heapq.heappush if len(best) < k else heapq.heappushpop)(best, (*candidate, row))
    return [moment_of(row, score) for score, _, row in sorted(best, key=lambda found: (-found[0], -found[1]))]


def moment_of(row: dict[str, Any], score: float) -> Moment:
    """A whole window as an answer."""
    return Moment(
        row["uri"], row["video_id"], row["start_ms"], row["end_ms"], row["start_ms"], round(score, 4), row["text"]
    )


def fused_ranks(lists: Sequence[Sequence[Moment]], k: int, window_ms: float) -> list[Moment]:
    """Several lists of moments as one: the k windows with the highest sum of 1 / (RANK_OFFSET + rank), ranks from 1.

    A moment counts for the window that its best frame lies in, at its best rank in a list; the answer is the moment of the
    list that ranks it highest, of the first of such lists.
    """
    sums: dict[tuple[str, int], float] = {}
    shown: dict[tuple[str, int], tuple[int, Moment]] = {}
    for found in lists:
        seen = set()
        for rank, moment in enumerate(found, 1):
            key = (moment.video_id, int(moment.best_ms // window_ms))
            if key in seen:
                continue
            seen.add(key)
            sums[key] = sums.get(key, 0.0) + 1 / (RANK_OFFSET + rank)
            if key not in shown or rank < shown[key][0]:
                shown[key] = (rank, moment)
    order = sorted(sums, key=lambda key: (-sums[key], key))[:k]
    return [replace(shown[key][1], score=round(sums[key], 5)) for key in order]


def plain(text: str) -> list[str]:
    """The words of a text as a phrase is compared: no case, no punctuation.

    >>> plain("Don't stop, now!")
    ["don't", 'stop', 'now']
    """
    return re.findall(r"[\w']+", text.lower())


def said_words(dataset: Dataset, first: str) -> Iterator[tuple[dict[str, Any], list[tuple[str, int, int]]]]:
    """(row, its words as (plain word, start_ms, end_ms)), in the order of the rows; a row that cannot matter has no words."""
    for _, batch in dataset.batches([*ROW, "words"]):
        may = pc.match_substring(batch["text"], first, ignore_case=True).to_numpy(zero_copy_only=False)
        wanted = may | np.append(False, may[:-1])  # a phrase may go on in the next window
        wanted[0] = True
        for at, row in enumerate(batch.select(ROW).to_pylist()):
            words = batch["words"][at].as_py() if wanted[at] else []
            yield row, [(part, one["start_ms"], one["end_ms"]) for one in words for part in plain(one["word"])]


def phrase_moments(dataset: Dataset, phrase: str, k: int) -> list[Moment]:
    """The first k places where exactly these words are said in a row, also across windows; score 1.

    Raises UsageError for a phrase without a word.
    """
    wanted = plain(phrase)
    if not wanted:
        raise UsageError(f"--phrase {phrase!r} holds no word")
    found: list[Moment] = []
    tail: list[tuple[str, int, int]] = []
    before: tuple[str, int] | None = None
    for row, words in said_words(dataset, wanted[0]):
        if before != (row["video_id"], row["window"] - 1):
            tail = []
        line = tail + words
        for at in range(len(line) - len(wanted) + 1):
            if at + len(wanted) > len(tail) and [word for word, _, _ in line[at : at + len(wanted)]] == wanted:
                start_ms, end_ms = line[at][1], line[at + len(wanted) - 1][2]
                found.append(Moment(row["uri"], row["video_id"], start_ms, end_ms, start_ms, 1.0, row["text"]))
        tail = line[-(len(wanted) - 1) :] if len(wanted) > 1 else []
        before = (row["video_id"], row["window"])
        if len(found) >= k:
            break
    return found[:k]


def search_in(index: Index, where: str, text: str, k: int, models: str, device: str) -> list[Moment]:
    """The k best moments for words: in frames, speech, fused, or all."""
    dataset = index.dataset
    snapshot = dataset.snapshot

    def frames(wanted: int) -> list[Moment]:
        return index.search(index.encoder(models, device).encode_text([text])[0], wanted)

    def speech(wanted: int) -> list[Moment]:
        return nearest_rows(dataset, "text_embedding", text_encoder(snapshot, device).encode([text])[0], wanted)

    def fused(wanted: int) -> list[Moment]:
        clip, words = index.encoder(models, device), text_encoder(snapshot, device)
        return nearest_rows(dataset, "fused_embedding", fused_query(snapshot, text, clip, words, device), wanted)

    single = {"frames": frames, "speech": speech, "fused": fused}
    if where != "all":
        return single[where](k)
    names = ["frames", "speech", *(["fused"] if snapshot.shape.fused_dim else [])]
    lists = [single[name](k * DEPTH) for name in names]
    return fused_ranks(lists, k, snapshot.grid.window_ticks * 1000 / float(snapshot.grid.tick_hz))

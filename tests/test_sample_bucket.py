"""The main job on the sample bucket, against what is known to be in it: slow, and the proof of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY, frame_times

from reelbeam.models.profiles import OFFLINE_WHISPER
from reelbeam.models.weights import resolve
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.hybrid import search_in
from reelbeam.pipeline.options import SearchOptions
from reelbeam.pipeline.read import Dataset
from reelbeam.pipeline.search import Index, Moment, query_vector
from reelbeam.schemas.tables import tensor
from reelbeam.transforms.probe import probe_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed file.*english.json:ResourceWarning"),  # Whisper's normalizer leaves it
]

BUCKET = REPOSITORY / "examples" / "sample_bucket"
TRUTH: dict[str, Any] = json.loads((BUCKET / "truth.json").read_text())
VIDEOS = {video["file"]: video for video in TRUTH["videos"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("sample") / "features"
    assert main(["extract", str(BUCKET), str(output), "--models", "offline"]) == 0
    assert main(["index", str(output)]) == 0
    return output


def rows_of(made: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file name, row) of every row; tensors as arrays."""
    dataset = Dataset.open(str(made))
    for _, batch in dataset.batches(["uri", *columns]):
        tensors = {
            name: tensor(batch, name) for name in columns if b"shape" in (batch.schema.field(name).metadata or {})
        }
        for at, row in enumerate(batch.to_pylist()):
            yield Path(row["uri"]).name, {**row, **{name: values[at] for name, values in tensors.items()}}


def test_every_file_ends_as_the_truth_expects(made: Path) -> None:
    status = {Path(row["uri"]).name: row["status"] for row in Dataset.open(str(made)).videos.values()}
    assert status == {name: video["expect"] for name, video in VIDEOS.items()}


def test_the_top_moment_is_right_for_nine_of_ten_queries(made: Path) -> None:
    index = Index(Dataset.open(str(made)))
    queries = [query for query in TRUTH["queries"] if query["kind"] == "frame"]
    assert len(queries) >= 60
    wrong = []
    for query in queries:
        [best] = index.search(query_vector(index, query["text"], SearchOptions(k=1)), 1)
        if not is_right(best, query):
            wrong.append(query["text"])
    print(f"{len(queries) - len(wrong)} of {len(queries)} queries right; wrong: {wrong}")
    assert len(wrong) <= 0.1 * len(queries), wrong


def is_right(moment: Moment, query: dict[str, Any]) -> bool:
    return any(
        Path(moment.uri).name == true["file"] and moment.start_ms < true["end_ms"] and moment.end_ms > true["start_ms"]
        for true in query["moments"]
    )


def test_hybrid_search_beats_each_single_one_on_mixed_queries(made: Path) -> None:
    index = Index(Dataset.open(str(made)))
    first, five, reciprocal = ({} for _ in range(3))
    for where in ("frames", "speech", "fused", "all"):
        ranks = []
        for query in TRUTH["queries"]:
            moments = search_in(index, where, query["text"], 10, "", "cpu")
            ranks.append(next((rank for rank, moment in enumerate(moments, 1) if is_right(moment, query)), np.inf))
        found = np.array(ranks)
        first[where], five[where], reciprocal[where] = (found == 1).mean(), (found <= 5).mean(), (1 / found).mean()
        print(f"{where}: right at 1 {first[where]:.2f}, at 5 {five[where]:.2f}, MRR {reciprocal[where]:.2f}")
    for measure in (first, five, reciprocal):
        assert measure["all"] == max(measure.values())


@pytest.mark.parametrize("name", [name for name, video in VIDEOS.items() if video["shows"] and video["expect"] == "ok"])
def test_each_tick_holds_the_first_frame_at_or_after_its_instant(name: str, made: Path) -> None:
    zero_s = probe_file(BUCKET / name).zero_s
    expected: dict[int, int] = {}
    for time_s in frame_times(BUCKET / name):
        if time_s >= zero_s:
            expected.setdefault(int(time_s - zero_s), int((time_s - zero_s) * 1000))
    found = {
        row["window"] * 10 + tick: int(row["tick_pts_ms"][tick])
        for file, row in rows_of(made, ["window", "tick_pts_ms", "tick_valid"])
        if file == name
        for tick in np.flatnonzero(row["tick_valid"])
    }
    assert found == expected


@lru_cache
def normalizer() -> Callable[[str], str]:
    from whisper.normalizers import EnglishTextNormalizer

    return EnglishTextNormalizer()


def normal(text: str) -> list[str]:
    """The words of a text as WER compares them."""
    return normalizer()(text).split()


def errors(said: list[str], heard: list[str]) -> int:
    """Levenshtein distance in words."""
    costs = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, costs[0] = costs[0], at
        for place, other in enumerate(heard, 1):
            before, costs[place] = costs[place], min(costs[place] + 1, costs[place - 1] + 1, before + (word != other))
    return costs[-1]


def heard_words(made: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for file, row in rows_of(made, ["words"]):
        found.setdefault(file, []).extend(row["words"])
    return found


def test_words_are_heard_as_well_as_by_faster_whisper_itself(made: Path) -> None:
    from faster_whisper import WhisperModel

    by_hand = WhisperModel(str(resolve(OFFLINE_WHISPER)), device="cpu", compute_type="int8")
    heard = heard_words(made)
    ours = theirs = total = 0
    for name, video in VIDEOS.items():
        if video["expect"] != "ok" or not video["words"]:
            continue
        said = normal(" ".join(word["word"] for word in video["words"]))
        segments, _ = by_hand.transcribe(str(BUCKET / name), language="en")
        total += len(said)
        ours += errors(said, normal(" ".join(word["word"] for word in heard.get(name, []))))
        theirs += errors(said, normal(" ".join(segment.text for segment in segments)))
    print(f"WER {100 * ours / total:.1f} %, faster-whisper by hand {100 * theirs / total:.1f} %, {total} words")
    assert total > 400
    assert ours <= theirs + 0.005 * total


def test_words_are_where_they_are_spoken(made: Path) -> None:
    heard = heard_words(made)
    late_ms = []
    for name, video in VIDEOS.items():
        said, found = video["words"], heard.get(name, [])
        plain = [["".join(normal(word["word"])) for word in words] for words in (said, found)]
        for start, other, length in SequenceMatcher(None, plain[0], plain[1], autojunk=False).get_matching_blocks():
            late_ms += [found[other + at]["start_ms"] - said[start + at]["start_ms"] for at in range(length)]
    median, p95 = np.percentile(np.abs(late_ms), [50, 95])
    print(f"{len(late_ms)} words matched; start off by {median:.0f} ms in the median, {p95:.0f} ms at 95 %")
    assert len(late_ms) > 400
    assert median <= 300


def test_nothing_is_heard_where_nobody_speaks(made: Path) -> None:
    heard = heard_words(made)
    for name, video in VIDEOS.items():
        if not video["words"]:
            assert not heard.get(name)


def test_every_byte_is_as_promised(made: Path) -> None:
    assert main(["verify", str(made)]) == 0

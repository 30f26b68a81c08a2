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
from wer import ENGINES, NOT_WORSE, by_hand, errors, models_of, normal, words_of

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.search.frames import FrameIndex, Moment, query_vector
from reelbeam.pipeline.search.hybrid import Searches
from reelbeam.pipeline.search.options import SearchOptions
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms.probe import probe_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed file.*english.json:ResourceWarning"),  # Whisper's normalizer leaves it
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),  # its tokenizer too
]

BUCKET = REPOSITORY / "examples" / "sample_bucket"
TRUTH: dict[str, Any] = json.loads((BUCKET / "truth.json").read_text())
VIDEOS = {video["file"]: video for video in TRUTH["videos"]}
SPOKEN = {name: video for name, video in VIDEOS.items() if video["expect"] == "ok" and video["words"]}


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
    index = FrameIndex(Dataset.open(str(made)))
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
    searches = Searches(Dataset.open(str(made)), device="cpu")
    first, five, reciprocal = ({} for _ in range(3))
    for where in ("frames", "speech", "fused", "all"):
        ranks = []
        for query in TRUTH["queries"]:
            moments = searches.find(where, query["text"], 10)
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


@pytest.fixture(scope="module")
def heard_by(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, list[dict[str, Any]]]]:
    """The words that an engine heard in each file, through the main job."""

    @lru_cache
    def heard(engine: str) -> dict[str, list[dict[str, Any]]]:
        if engine == "faster-whisper":  # the offline profile's
            return words_of(Dataset.open(str(made)))
        folder = tmp_path_factory.mktemp("other")
        (folder / "list.txt").write_text("\n".join(str(BUCKET / name) for name in SPOKEN))
        run = ["extract", str(folder / "list.txt"), str(folder / "out"), "--models", models_of(engine, folder)]
        assert main(run) == 0
        return words_of(Dataset.open(str(folder / "out")))

    return heard


@pytest.mark.parametrize("engine", ENGINES)
def test_words_are_heard_as_well_as_by_the_engine_itself(
    engine: str, heard_by: Callable[[str], dict[str, list[dict[str, Any]]]], tmp_path: Path
) -> None:
    hand, heard = by_hand(engine, tmp_path), heard_by(engine)
    ours = theirs = total = 0
    for name, video in SPOKEN.items():
        said = normal(" ".join(word["word"] for word in video["words"]))
        total += len(said)
        ours += errors(said, normal(" ".join(word["word"] for word in heard.get(name, []))))
        theirs += errors(said, normal(hand(str(BUCKET / name))))
    print(f"{engine}: WER {100 * ours / total:.2f} %, by hand {100 * theirs / total:.2f} %, {total} words")
    assert total > 400
    assert ours <= theirs + NOT_WORSE * total


@pytest.mark.parametrize("engine", ENGINES)
def test_words_are_where_they_are_spoken(
    engine: str, heard_by: Callable[[str], dict[str, list[dict[str, Any]]]]
) -> None:
    heard = heard_by(engine)
    late_ms = []
    for name, video in SPOKEN.items():
        said, found = video["words"], heard.get(name, [])
        plain = [["".join(normal(word["word"])) for word in words] for words in (said, found)]
        for start, other, length in SequenceMatcher(None, plain[0], plain[1], autojunk=False).get_matching_blocks():
            late_ms += [found[other + at]["start_ms"] - said[start + at]["start_ms"] for at in range(length)]
    median, p95 = np.percentile(np.abs(late_ms), [50, 95])
    print(f"{engine}: {len(late_ms)} words matched; start off by {median:.0f} ms in the median, {p95:.0f} ms at 95 %")
    assert len(late_ms) > 400
    assert median < 150
    assert p95 < 500


def test_nothing_is_heard_where_nobody_speaks(made: Path) -> None:
    heard = words_of(Dataset.open(str(made)))
    for name, video in VIDEOS.items():
        if not video["words"]:
            assert not heard.get(name)


def test_every_byte_is_as_promised(made: Path) -> None:
    assert main(["verify", str(made)]) == 0

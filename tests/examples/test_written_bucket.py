"""What is written and subtitled in a made bucket is found at its place and time: held against the bucket's own truth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.pipeline.search.exact_words import ExactWords
from reelbeam.pipeline.search.frames import Moment
from reelbeam.pipeline.words import parse_query
from reelbeam.schemas.elements import Caption
from reelbeam.transforms.caption_words import tracks_of

TICK_MS = 1000


@dataclass(frozen=True)
class Made:
    bucket: Path
    output: Path
    truth: list[dict[str, Any]]

    @property
    def words(self) -> ExactWords:
        return ExactWords.open(Dataset.open(str(self.output)))

    def texts(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each text of these kinds, with the name of its video."""
        for one in self.truth:
            for text in (*one["written"], *one["captions"]):
                if text["kind"] in kinds:
                    yield one["file"], text


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip("rapidocr_onnxruntime")
    bucket, output = tmp_path_factory.mktemp("written"), tmp_path_factory.mktemp("out") / "features"
    program = [sys.executable, str(REPOSITORY / "examples" / "make_sample_bucket.py")]
    subprocess.run([*program, "--out", str(bucket), "--written"], check=True, timeout=300)
    flags = ["--models", "offline", "--senses", "+ocr,+subtitles"]
    assert main(["extract", str(bucket), str(output), *flags]) == 0
    assert main(["index", str(output), "--of", "words"]) == 0
    return Made(bucket, output, json.loads((bucket / "truth.json").read_text())["videos"])


def is_there(moment: Moment, file: str, text: dict[str, Any]) -> bool:
    """Whether a moment is of the video, and within a tick of the time in which the text is shown."""
    inside = text["start_ms"] - TICK_MS <= moment.start_ms and moment.end_ms <= text["end_ms"] + TICK_MS
    return Path(moment.uri).name == file and inside


def missed(made: Made, query: str, *kinds: str) -> tuple[list[str], int]:
    """Texts whose moment is not at rank 1 for a query with their word or text, and the number of all."""
    words, wrong, count = made.words, [], 0
    for file, text in made.texts(*kinds):
        found = words.moments(parse_query(query.format(**text)), 5)
        count += 1
        if not found or not is_there(found[0], file, text):
            wrong.append(f"{file}: {text} gives {found[:1]}")
    return wrong, count


@pytest.mark.slow
@pytest.mark.parametrize(("query", "least"), [("{word}", 0.95), ("screen:{word}", 0.95), ('"{text}"', 1.0)])
def test_a_written_word_is_found_first_and_a_phrase_always(made: Made, query: str, least: float) -> None:
    wrong, count = missed(made, query, "slide", "lower_third", "ticker")
    assert count == 50
    assert len(wrong) <= (1 - least) * count, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["{word}", "subtitles:{word}", '"{text}"', 'subtitles:"{text}"'])
def test_a_subtitle_is_found_first_and_a_phrase_always(made: Made, query: str) -> None:
    wrong, count = missed(made, query, "caption")
    assert count == 30
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_slides_and_lower_thirds_stand_for_their_time_within_a_tick(made: Made) -> None:
    words, wrong = made.words, []
    for _, text in made.texts("slide", "lower_third"):
        [first, *_] = words.moments(parse_query(f"screen:{text['word']}"), 1) or [None]
        if first is None or max(abs(first.start_ms - text["start_ms"]), abs(first.end_ms - text["end_ms"])) > TICK_MS:
            wrong.append(f"{text} gives {first}")
    assert len(wrong) <= 2, "\n".join(wrong)


@pytest.mark.slow
def test_captions_are_stored_as_they_are_with_language_and_source(made: Made) -> None:
    stored: dict[str, set[tuple[str, str, int, int, str]]] = {}
    for _, batch in Dataset.open(str(made.output)).batches(["uri", "subtitles"]):
        for row in batch.to_pylist():
            for one in row["subtitles"] or ():
                times = (one["start_ms"], one["end_ms"])
                stored.setdefault(Path(row["uri"]).name, set()).add(
                    (one["language"], one["text"], *times, one["source"])
                )
    for one in made.truth:
        wanted = {(c["language"], c["text"], c["start_ms"], c["end_ms"], c["source"]) for c in one["captions"]}
        assert stored.get(one["file"], set()) == wanted


@pytest.mark.slow
def test_the_forced_track_is_stored_and_never_a_transcript(made: Made) -> None:
    [video] = [one for one in made.truth if any("forced" in text["source"] for text in one["captions"])]
    held = [Caption(c["language"], c["text"], c["start_ms"], c["end_ms"], c["source"]) for c in video["captions"]]
    assert {track[0].language for track in tracks_of(held)} == {"de"}
    assert main(["verify", str(made.output)]) == 0

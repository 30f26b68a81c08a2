"""A night keeps the index of words up to date: new, changed and deleted videos, and titles."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import REPOSITORY
from nights import OFFLINE, World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.search.exact_words import ExactWords
from reelbeam.pipeline.search.hybrid import Searches
from reelbeam.pipeline.words.word_query import parse_query

SAMPLES = REPOSITORY / "examples" / "sample_bucket"


class Listed(World):
    """A bucket that is a list with titles."""

    def night(self, *flags: str) -> int:
        return main(["nightly", str(self.bucket / "list.csv"), str(self.output), *OFFLINE, *flags])

    def list(self, **titles: str) -> None:
        with open(self.bucket / "list.csv", "w", newline="") as file:
            csv.writer(file).writerows(
                [("uri", "title"), *((self.bucket / f"{name}.mp4", title) for name, title in titles.items())]
            )

    def found(self, query: str) -> list[str]:
        moments = ExactWords.open(self.data).moments(parse_query(query), 10)
        return sorted({Path(moment.uri).stem for moment in moments})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    folder = tmp_path_factory.mktemp("bucket")
    for name in ("desk", "farm"):
        shutil.copy(SAMPLES / f"{name}.mp4", folder / f"{name}.mp4")
    made = Listed(folder, tmp_path_factory.mktemp("out") / "features")
    made.list(desk="An office", farm="Two cows")
    assert made.night() == 0
    return made


def test_the_moment_in_which_the_words_are_said_is_first_of_all_lists(world: Listed) -> None:
    """Also without an index of words: two windows of a dataset are indexed in memory."""
    for query in ("the astronaut looked out at the bright blue planet", "the radio had no signal"):
        first = Searches(world.data).find("all", query, 3)[0]
        assert Path(first.uri).stem == "farm"
        assert first.highlights, "the moment is the one of the words"


def test_a_night_updates_the_index_that_there_is(world: Listed, capsys: pytest.CaptureFixture[str]) -> None:
    assert "words" not in world.data.snapshot.indexes, "only an index that was asked for is kept"
    assert main(["index", str(world.output), "--of", "words"]) == 0
    assert world.found("astronaut") == ["farm"]
    assert world.found("title:office") == ["desk"]
    world.list(desk="A writing table", farm="Two cows")
    assert world.night() == 0, "a title changes, and no row"
    assert (world.found("title:office"), world.found("title:table")) == ([], ["desk"])
    shutil.copy(SAMPLES / "picnic.mkv", world.bucket / "picnic.mp4")
    world.list(desk="A writing table", farm="Two cows", picnic="A picnic")
    capsys.readouterr()
    assert world.night("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["indexes"]["words"]["of"] == "words"
    assert world.found("title:picnic") == ["picnic"]
    before = world.data.snapshot.number
    assert world.night() == 0
    assert world.data.snapshot.number == before, "nothing has changed, so nothing is committed"
    world.list(desk="A writing table", picnic="A picnic")
    assert world.night() == 0
    assert world.found("astronaut") == []
    assert world.verified()

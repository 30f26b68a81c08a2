"""Subtitle files beside videos come, change, break and go: a night stores it, and decodes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.nightly.purge_texts import sentences_of
from reelbeam.pipeline.search.exact_words import ExactWords
from reelbeam.pipeline.words.word_query import parse_query
from reelbeam.schemas.file_records import ShardInfo
from reelbeam.schemas.tables import windows_schema
from reelbeam.transforms import decode, ffmpeg, probe

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
FIRST = "1\n00:00:01,000 --> 00:00:03,000\nThe quick brown fox\n"
SECOND = "1\n00:00:02,000 --> 00:00:04,000\nEin roter Hund\n\n2\n00:00:09,000 --> 00:00:12,000\nlief davon\n"


NOTHING = ("absent", list[str]())
WHY = "failed: subtitles: sidecar desk.fr.vtt: it begins as utf-16 and is not"
BROKEN = ("broken", list[str]())


class Subtitled(World):
    def night(self, *flags: str) -> int:
        return super().night("--senses", "+subtitles", *flags)

    def shown(self, name: str) -> list[tuple[str, list[str]]]:
        """Status and captions of each window of a video."""
        found = {}
        for _, batch in self.data.batches(["uri", "window", "subtitles", "subtitles_status"]):
            for row in batch.to_pylist():
                if Path(row["uri"]).name == name:
                    texts = [one["text"] for one in row["subtitles"] or ()]
                    status = row["subtitles_status"]
                    found[row["window"]] = ("broken" if status.startswith(WHY) else status, texts)
        return [found[window] for window in sorted(found)]

    def rows(self) -> pa.Table:
        names = [name for name in windows_schema(self.data.snapshot.shape).names if not name.startswith("subtitles")]
        return pa.concat_tables(pa.Table.from_batches([batch]) for _, batch in self.data.batches(names)).sort_by(
            [("video_id", "ascending"), ("window", "ascending")]
        )

    def found(self, query: str) -> list[str]:
        return [Path(one.uri).name for one in ExactWords.open(self.data).moments(parse_query(query), 10)]

    def shards(self) -> set[ShardInfo]:
        return set(self.data.snapshot.shards)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Subtitled:
    bucket = tmp_path_factory.mktemp("bucket")
    for name in ("desk", "farm"):
        shutil.copy(SAMPLES / f"{name}.mp4", bucket / f"{name}.mp4")
    (bucket / "desk.srt").write_text(FIRST)
    made = Subtitled(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night() == 0
    assert main(["index", str(made.output), "--of", "words"]) == 0
    return made


@contextmanager
def nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Counts processes that read media: none may, but those that convert subtitle files."""
    started: list[str] = []
    run = ffmpeg.run

    def counted(command: list[str], *args: object, **named: object) -> object:
        started.append(" ".join(command))
        return run(command, *args, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        for module in (ffmpeg, decode, probe):
            if hasattr(module, "run"):
                patched.setattr(module, "run", counted)
        yield started
    assert started == []


def test_the_first_night_stores_what_lies_beside(world: Subtitled) -> None:
    assert world.shown("desk.mp4") == [("ok", ["The quick brown fox"]), NOTHING, NOTHING]
    assert world.shown("farm.mp4") == [NOTHING] * 3
    assert world.found("subtitles:fox") == ["desk.mp4"]


def test_added_changed_broken_and_removed_files_change_their_videos_subtitles_alone(
    world: Subtitled, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.rows()
    bucket = world.bucket
    hound, vixen = ["Ein roter Hund", "lief davon"], ("ok", ["The quick brown vixen"])
    steps = [
        (lambda: (bucket / "farm.de.srt").write_text(SECOND), [("ok", hound), ("ok", hound[1:]), NOTHING], "hund"),
        (lambda: (bucket / "desk.srt").write_text(FIRST.replace("fox", "vixen")), [vixen, NOTHING, NOTHING], "vixen"),
        (lambda: (bucket / "desk.fr.vtt").write_bytes(b"\xff\xfe\xff"), [vixen, BROKEN, BROKEN], "vixen"),
        (lambda: (bucket / "desk.srt").unlink(), [BROKEN] * 3, ""),
        (lambda: (bucket / "desk.fr.vtt").unlink(), [NOTHING] * 3, ""),
    ]
    for change, wanted, word in steps:
        change()
        name = "farm.mp4" if word == "hund" else "desk.mp4"
        with nothing_decoded(monkeypatch):
            assert world.night() in (0, 1)
        assert world.rows().equals(before), "all other columns are as they were"
        assert world.shown(name) == wanted
        [row] = [row for row in world.data.videos.values() if row["uri"].endswith(name)]
        assert row["status"] == ("partial" if BROKEN in wanted else "ok")
        assert not word or world.found(f"subtitles:{word}") == [name], "the index of words follows"
        assert world.verified()
        number = world.data.snapshot.number
        assert world.night() == 0
        assert world.data.snapshot.number == number, "nothing has changed since"
    assert world.found("subtitles:vixen") == []


def test_the_rows_are_those_of_a_fresh_extraction(world: Subtitled, tmp_path: Path) -> None:
    (world.bucket / "farm.en.srt").write_text(FIRST)
    assert world.night() == 0
    fresh = Subtitled(world.bucket, tmp_path / "fresh")
    assert fresh.night() == 0
    assert fresh.shown("farm.mp4") == world.shown("farm.mp4")
    assert world.shown("farm.mp4")[0][1][0] == "The quick brown fox"
    whole = [sorted(map(str, table.to_pylist())) for table in (world.rows(), fresh.rows())]
    assert whole[0] == whole[1]


def test_a_copy_has_the_files_beside_it_and_not_its_twins(world: Subtitled) -> None:
    shutil.copy(world.bucket / "farm.mp4", world.bucket / "copy.mp4")
    (world.bucket / "copy.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nA copy\n")
    assert world.night() == 0
    assert world.shown("copy.mp4") == [("ok", ["A copy"]), NOTHING, NOTHING]
    assert world.found("subtitles:copy") == ["copy.mp4"]
    assert world.verified()


def test_a_purge_finds_nothing_left_of_subtitles(world: Subtitled) -> None:
    key = next(key for key, row in world.data.videos.items() if row["uri"].endswith("farm.mp4"))
    assert "The quick brown fox" in sentences_of(world.data.storage, key)
    for file in world.bucket.glob("farm*"):
        file.unlink()
    (world.bucket / "copy.mp4").unlink()
    assert main(["purge", str(world.output), key, "--sweep-after-h", "0"]) == 0
    assert world.found("subtitles:fox") == []


def test_without_the_sense_files_beside_a_video_change_nothing(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    shutil.copy(SAMPLES / "desk.mp4", bucket / "desk.mp4")
    plain = World(bucket, tmp_path / "out")
    assert plain.night() == 0
    (bucket / "desk.srt").write_text(FIRST)
    number = plain.data.snapshot.number
    assert plain.night() == 0
    assert plain.data.snapshot.number == number
    assert {row["sidecars"] for row in plain.data.videos.values()} == {None}
    assert plain.night("--senses", "+subtitles", "--remodel") == 0
    [row] = plain.data.videos.values()
    assert "desk.srt" in str(row["sidecars"])
    number = plain.data.snapshot.number
    assert plain.night() == 0
    assert plain.data.snapshot.number == number, "the remodelling has read them"

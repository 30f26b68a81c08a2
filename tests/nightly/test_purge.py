"""After a purge nothing below OUTPUT holds a video's name, its rows, its vectors or its words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.nightly.purge_texts import look_for, sentences_of
from reelbeam.pipeline.words.analyzers import terms
from reelbeam.pipeline.words.words_store import OpenWords, read_words_manifest
from reelbeam.schemas import manifests
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.listing import video_id_of

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
AT_ONCE = ("--sweep-after-h", "0")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two that speak, one of them under two names and one name the beginning of another; and one that is no video."""
    folder = tmp_path_factory.mktemp("bucket")
    shutil.copy(SAMPLES / "desk.mp4", folder / "talk.mp4")
    shutil.copy(SAMPLES / "desk.mp4", folder / "twin.mp4")
    shutil.copy(SAMPLES / "picnic.mkv", folder / "talk.mp4.mkv")
    (folder / "café.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    output = tmp_path_factory.mktemp("first") / "features"
    assert World(bucket, output).night() == 0
    return output


@pytest.fixture
def world(bucket: Path, first: Path, tmp_path: Path) -> World:
    """An OUTPUT to change at will."""
    shutil.copytree(first, tmp_path / "out")
    return World(bucket, tmp_path / "out")


def all_texts(output: Path) -> str:
    """Every byte below OUTPUT as it lies, and every value of every Parquet column out of its compression."""
    found = []
    for file in sorted(output.rglob("*")):
        if file.is_file():
            found.append(file.read_bytes().decode("latin-1"))
            if file.suffix == ".parquet":
                table = pq.read_table(file)
                small = [field.name for field in table.schema if not pa.types.is_fixed_size_binary(field.type)]
                found.append(repr(table.select(small).to_pylist()))
    return "\n".join(found)


def test_neither_uri_nor_id_nor_words_are_anywhere_after_a_purge(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(world.bucket / "talk.mp4.mkv")
    table = pq.read_table(world.output / "windows", columns=["uri", "text", "words"])
    said = [text for text in table.filter(pc.equal(table["uri"], gone))["text"].to_pylist() if text]
    assert said
    before = all_texts(world.output)
    assert all(text in before for text in (gone, video_id_of(gone), *said))
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 0
    after = all_texts(world.output)
    assert [text for text in (gone, video_id_of(gone), *said) if text in after] == []
    shown = capsys.readouterr().out
    assert "longest sentences\n" in shown, shown
    assert " 0 longest" not in shown
    assert world.verified()


def test_no_list_of_shards_names_a_purged_video(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "INLINE", 1)
    storage = Storage.at(world.output)
    made = snapshots.commit_next(
        storage, lambda parent: replace(parent, number=parent.number + 1) if parent else parent
    )
    first = made.shards[0].first_key[0]
    assert [first in storage.get(manifest.path).decode() for manifest in made.manifests][:1] == [True]
    assert main(["purge", str(world.output), first, *AT_ONCE]) == 0
    assert first not in all_texts(world.output)
    assert world.verified()


def test_a_twin_keeps_its_words_and_purge_says_whose_they_are(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    gone, twin = str(world.bucket / "talk.mp4"), str(world.bucket / "twin.mp4")
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 0
    assert f"{twin}, which says the same" in capsys.readouterr().out
    assert {uri for uri, _ in world.content()} == {twin, str(world.bucket / "talk.mp4.mkv")}
    assert main(["verify", str(world.output), "--gone", gone]) == 0, "talk.mp4.mkv is another video"


@pytest.mark.parametrize("kept", ["words", "text"])
def test_a_file_with_words_alone_is_found(kept: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    gone = str(world.bucket / "talk.mp4.mkv")
    table = pq.read_table(world.output / "windows", columns=["uri", kept])
    orphan = world.output / "windows" / "20200101T000000-abcdef" / "windows-00000-of-00001.parquet"
    orphan.parent.mkdir()
    pq.write_table(table.filter(pc.equal(table["uri"], gone)).select([kept]), orphan, compression="zstd")
    assert main(["purge", str(world.output), gone]) == 3
    shown = capsys.readouterr().err
    assert "holds what the video says" in shown
    assert main(["compact", str(world.output), *AT_ONCE]) == 0
    assert not orphan.exists()


def test_a_file_of_somebody_else_below_output_is_reported_and_left(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(world.bucket / "talk.mp4.mkv")
    notes = world.output / "notes.txt"
    notes.write_text(f"look at {gone}, please")
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 3
    assert "notes.txt: names" in capsys.readouterr().err
    assert notes.exists()
    assert gone not in {row["uri"] for row in world.data.videos.values()}
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    notes.unlink()
    assert main(["verify", str(world.output), "--gone", gone]) == 0


def test_a_video_can_be_named_as_a_path_and_a_wrong_name_is_told_what_there_is(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = str(world.bucket / "twin.mp4")
    assert main(["purge", str(world.output), "twin.mp4"]) == 2
    assert f"it holds {twin}" in capsys.readouterr().err
    assert main(["verify", str(world.output), "--gone", "twin.mp4"]) == 0
    assert f"another video: {twin}" in capsys.readouterr().out
    monkeypatch.chdir(world.bucket)
    assert main(["verify", str(world.output), "--gone", "twin.mp4"]) == 4
    assert main(["purge", str(world.output), "./twin.mp4", *AT_ONCE]) == 0
    assert twin not in {row["uri"] for row in world.data.videos.values()}


def test_a_half_written_table_is_no_proof(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    gone = str(world.bucket / "talk.mp4")
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 0
    whole = next((world.output / "windows").rglob("*.parquet")).read_bytes()
    (world.output / "videos" / "half.parquet").write_bytes(whole[:-100])
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    assert "cannot be read, so its rows are unknown" in capsys.readouterr().out


def test_a_failure_and_the_report_that_names_it_go_too(world: World) -> None:
    gone = str(world.bucket / "café.mp4")
    [report] = (world.output / "runs").glob("*.report.json")
    assert "caf\\u00e9.mp4" in report.read_text()
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 0
    assert main(["verify", str(world.output), "--gone", gone]) == 0
    assert not report.exists()
    assert world.data.snapshot.counts["failed"] == 0
    assert world.verified()


def test_what_a_video_of_an_older_snapshot_says_counts_as_a_trace_when_the_books_know_it_no_more(world: World) -> None:
    storage, talk, twin = world.data.storage, str(world.bucket / "talk.mp4"), str(world.bucket / "twin.mp4")
    sentences = sentences_of(storage, video_id_of(talk))
    assert look_for(storage, sentences, video_id_of(talk)).shared == (twin,)
    assert main(["purge", str(world.output), twin, *AT_ONCE]) == 0
    found = look_for(storage, sentences, video_id_of(twin))
    assert (found.shared, found.places) == ((talk,), ())
    assert len(snapshots.numbers(storage)) >= 1


def every_term(output: Path) -> set[str]:
    """Every term in every lexical index build that any snapshot names, out of tantivy's files, deleted documents' included."""
    terms: set[str] = set()
    storage = Storage.at(str(output))
    for one in snapshots.load_all(storage).values():
        for built in one.indexes.values():
            if built.of == "words":
                manifest = read_words_manifest(storage, built)
                opened = OpenWords.of_build(storage, manifest)
                for kind in manifest.fields:
                    for name in manifest.analyzers:
                        terms |= {term for term, _ in opened.searcher.terms_with_prefix(f"{kind}_{name}", "")}
    return terms


def test_a_purge_leaves_no_term_that_only_the_video_had(world: World) -> None:
    gone = str(world.bucket / "talk.mp4.mkv")
    assert main(["index", str(world.output), "--of", "words"]) == 0
    texts: dict[bool, set[str]] = {True: set(), False: set()}
    for _, batch in world.data.batches(["uri", "text"]):
        for row in batch.to_pylist():
            texts[row["uri"] == gone] |= set(terms("en", row["text"]))
    own = texts[True] - texts[False]
    assert len(own) > 5
    before = every_term(world.output)
    assert own <= before
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 0
    after = every_term(world.output)
    assert after
    assert not own & after
    held = b"".join(file.read_bytes() for file in (world.output / "indexes").rglob("*") if file.is_file())
    assert not [term for term in own if len(term) > 5 and term.encode() in held]
    assert world.verified()
    assert main(["verify", str(world.output), "--gone", gone]) == 0


def test_words_of_a_purged_video_in_an_index_that_was_not_built_again_are_a_trace(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = str(world.bucket / "talk.mp4.mkv")
    assert main(["index", str(world.output), "--of", "words"]) == 0
    monkeypatch.setattr("reelbeam.pipeline.nightly.purge.update_one", lambda *_: None)
    assert main(["purge", str(world.output), gone, *AT_ONCE]) == 3
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    assert "holds the words of" in capsys.readouterr().out

"""A lexical index is built, updated by what changed, verified, rolled back, and forgets what is gone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st
from made_words import MadeWords

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.update import update_index
from reelbeam.pipeline.search.exact_words import ExactWords
from reelbeam.pipeline.words.word_query import parse_query
from reelbeam.pipeline.words.word_search import WordIndex
from reelbeam.pipeline.words.words_build import NothingToIndex, update_words
from reelbeam.pipeline.words.words_check import check_words, rows_with_words
from reelbeam.pipeline.words.words_store import OpenWords, read_ids, read_words_manifest
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.words_manifest import WordsManifest

FIRST = [
    (1, 0, "en", "the captain of a fishing boat"),
    (1, 1, "en", "came home with gold"),
    (2, 0, "en", "a farmer bought seven cows"),
    (3, 0, "", ""),
]


@pytest.fixture
def made(tmp_path: Path) -> MadeWords:
    world = MadeWords(tmp_path / "out")
    world.say(FIRST[:2], FIRST[2:])
    world.title([(1, "The sailor", ""), (3, "", "Nobody speaks here")])
    return world


def found(world: MadeWords, query: str) -> list[tuple[str, int]]:
    moments = ExactWords.open(world.data).moments(parse_query(query), 10)
    return [(moment.uri, moment.start_ms) for moment in moments]


def problems(world: MadeWords) -> list[str]:
    data = world.data
    return list(check_words(data, "words", data.snapshot.indexes["words"]))


def stored(world: MadeWords) -> WordsManifest:
    return read_words_manifest(world.storage, world.data.snapshot.indexes["words"])


def test_a_build_holds_every_window_with_words_and_every_title(made: MadeWords) -> None:
    _, manifest = update_words(made.root)
    assert (manifest.windows, manifest.videos, manifest.analyzers) == (3, 2, ("en", "plain", "characters"))
    assert problems(made) == []
    assert found(made, "cows") == [("/videos/2.mp4", 4 * 300)]
    assert found(made, "sailor") == [("/videos/1.mp4", 0)]
    assert main(["verify", "--quick", made.root]) in (0, 4)


def test_an_update_adds_and_deletes_only_what_changed_and_shares_the_files(made: MadeWords) -> None:
    update_words(made.root)
    before = {file.path for file in stored(made).segments if file.name != "meta.json"}
    made.say([(4, 0, "en", "seven cows again")])
    made.remove(2)
    published, manifest = update_words(made.root)
    assert manifest.why == "update: 1 windows are new, 1 are gone; 0 titles are new, 0 are gone"
    assert before <= {file.path for file in manifest.segments}, "the files of the build before are shared"
    assert set(published.indexes["words"].files) >= before
    assert found(made, "cows") == [("/videos/4.mp4", 300)]
    assert problems(made) == []
    again, same = update_words(made.root)
    assert (again.number, same.why) == (published.number, f"nothing has changed since snapshot {published.number - 1}")


def test_the_same_answers_come_from_an_update_and_from_a_full_build(made: MadeWords) -> None:
    update_words(made.root)
    made.say([(5, 0, "en", "gold for seven cows"), (5, 1, "en", "and a boat")])
    made.title([(1, "The miner", "")])
    update_words(made.root)
    queries = ["gold", "seven cows", "boat -gold", "miner", "sailor", '"of a fishing boat came"']
    updated = [found(made, query) for query in queries]
    update_words(made.root, full=True)
    assert [found(made, query) for query in queries] == updated
    assert updated[3] == [("/videos/1.mp4", 0)]
    assert updated[4] == []


def test_rows_that_move_to_another_shard_are_not_indexed_again(made: MadeWords) -> None:
    update_words(made.root)
    made.say([(6, 0, "en", "one more")])
    made.tidy()
    _, manifest = update_words(made.root)
    assert manifest.why.startswith("update: 1 windows are new, 0 are gone")
    assert problems(made) == []


def test_rows_that_have_left_their_shards_leave_the_files(made: MadeWords) -> None:
    update_words(made.root)
    made.remove(2)
    update_words(made.root)
    assert read_ids(made.storage, stored(made)).dead_rows.tolist() == [2]
    made.tidy()
    _, manifest = update_words(made.root)
    assert "have left their shards" in manifest.why
    assert not len(read_ids(made.storage, manifest).dead_rows)
    opened = OpenWords.of_build(made.storage, manifest)
    assert opened.searcher.doc_freq("speech_en", "cow") == 0


def test_the_first_windows_in_a_language_with_a_stemmer_call_for_a_full_build(made: MadeWords) -> None:
    update_words(made.root)
    made.say([(7, 0, "de", "viele Hunde laufen")])
    _, manifest = update_words(made.root)
    assert manifest.why == "full: the first windows in the language de"
    assert found(made, "Hund") == [("/videos/7.mp4", 300)]
    made.say([(8, 0, "cs", "dobrý den")])
    assert update_words(made.root)[1].why.startswith("update: ")
    assert found(made, "dobry") == [("/videos/8.mp4", 0)]


def test_a_build_that_is_damaged_is_told_and_made_again(made: MadeWords) -> None:
    update_words(made.root)
    name = next(file.path for file in stored(made).segments if file.path.endswith(".idx"))
    whole = made.storage.get(name)
    made.storage.put(name, whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "its hash is not the one in index.json" in problems(made)[0]
    made.storage.put(name, whole[:-1])
    with pytest.raises(Exception, match="cure: reelbeam index --of words --full"):
        found(made, "cows")
    made.say([(9, 0, "en", "new")])
    _, manifest = update_words(made.root)
    assert manifest.why.startswith("full: the current build cannot be used")
    assert problems(made) == []


def test_a_document_too_many_or_too_few_is_a_problem(made: MadeWords) -> None:
    update_words(made.root)
    assert rows_with_words(made.data).tolist() == [0, 1, 2]
    ids = read_ids(made.storage, stored(made))
    assert ids.rows.tolist() == [0, 1, 2]
    made.title([(2, "Cows", "")])
    assert any("its titles are not those" in line for line in problems(made))


def test_a_rolled_back_index_answers_as_before_and_says_that_it_is_old(
    made: MadeWords, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", made.root, "--of", "words"]) == 0
    made.say([(9, 0, "en", "zebra")])
    assert main(["index", made.root, "--of", "words"]) == 0
    assert found(made, "zebra")
    assert main(["index", made.root, "--of", "words", "--rollback"]) == 0
    assert not found(made, "zebra")
    assert main(["search", made.root, "zebra", "--in", "words", "--json"]) == 0
    assert "rows came or went since the index of words was built" in capsys.readouterr().err
    assert main(["search", made.root, "zebra", "--phrase", "--json"]) == 0
    assert '"start_ms": 0' in capsys.readouterr().out, "a phrase is looked for in all rows when the index is old"


def test_nothing_to_index_and_a_taken_name_are_told(tmp_path: Path) -> None:
    world = MadeWords(tmp_path / "out")
    with pytest.raises(NothingToIndex, match="nothing to index"):
        update_words(world.root)
    world.say([(1, 0, "en", "hello")])
    update_words(world.root, name="said")
    assert list(world.data.snapshot.indexes) == ["said"]
    assert found(world, "hello") == [("/videos/1.mp4", 0)]
    assert main(["index", world.root, "--name", "said"]) == 2
    assert main(["index", world.root, "--of", "words", "--plan"]) == 2
    with pytest.raises(UsageError, match="is built of words, not of frames"):
        update_index(world.root, IndexOptions(name="said"))


def test_no_text_is_stored_and_the_ids_come_back(made: MadeWords) -> None:
    _, manifest = update_words(made.root)
    held = b"".join(Storage.at(made.root).get(file.path) for file in manifest.segments)
    assert b"fishing boat" not in held
    assert np.array_equal(OpenWords.of_build(made.storage, manifest).rows, [0, 1, 2])


@given(
    st.lists(st.lists(st.sampled_from("a b c d e".split()), min_size=3, max_size=9), min_size=1, max_size=60), st.data()
)
@settings(max_examples=40, deadline=None)
def test_the_best_documents_are_those_of_one_query_of_words_and_the_phrase(
    texts: list[list[str]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = MadeWords(Path(folder, "out"))
        world.say([(1 + at, 0, "en", " ".join(f"word{one}" for one in text)) for at, text in enumerate(texts)])
        index = WordIndex.in_memory(world.data)
        asked = data.draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=4))
        clauses = parse_query(" ".join(f"word{one}" for one in asked))
        parts = [(tantivy.Occur.Must, index._query(clauses))]
        if (run := index._run(clauses)) is not None:
            parts.append((tantivy.Occur.Should, run))
        whole = index.opened.searcher.search(tantivy.Query.boolean_query(parts), limit=7, count=False).hits
        assert [one.score for one in index.hits(clauses, 7)] == pytest.approx([score for score, _ in whole], rel=1e-5)

"""Text on the screen and subtitles are found as exact words, each where and while it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_words import SENSES, MadeWords, video_id

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.nightly.purge_texts import look_for, sentences_of
from reelbeam.pipeline.search.exact_words import ExactWords
from reelbeam.pipeline.search.frames import Moment
from reelbeam.pipeline.words.documents import languages_of
from reelbeam.pipeline.words.word_query import parse_query
from reelbeam.pipeline.words.words_build import update_words
from reelbeam.pipeline.words.words_check import check_words
from reelbeam.pipeline.words.words_store import OpenWords, read_words_manifest
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.snapshot import Snapshot

SAID = [
    (1, 0, "en", "Let us look at the numbers"),
    (1, 1, "", ""),
    (2, 0, "de", "Guten Abend"),
    (2, 1, "", ""),
    (3, 0, "", ""),
    (4, 0, "", ""),
]
SCREEN = {
    (4, 0): [("ResultswithParrotteams", 0, 5000)],
    (1, 0): [("Quarterly revenue", 2000, 18_000), ("rose by ninths", 5000, 18_000)],
    (1, 1): [("Quarterly revenue", 2000, 18_000), ("rose by ninths", 5000, 18_000), ("The numbering", 19_000, 20_000)],
    (2, 0): [("Tagesschau Häuser", 0, 10_000)],
}
SUBTITLES = {
    (2, 0): [("en", "Good evening,", 1000, 3000), ("fr", "Bonsoir à", 1000, 3000), ("en", "and welcome", 9000, 11_000)],
    (2, 1): [("en", "and welcome", 9000, 11_000), ("fr", "toutes les maisons", 10_500, 12_000), ("en", "to us", 11_000, 12_000)],
    (3, 0): [("de", "viele Hunde laufen", 500, 900)],
}  # fmt: skip


def made(folder: Path, *senses: str) -> MadeWords:
    world = MadeWords(folder / "out", *(senses or SENSES))
    world.say(SAID[:2], SAID[2:], screen=SCREEN, subtitles=SUBTITLES)
    world.title([(1, "Numbers", "")])
    return world


@pytest.fixture(scope="module", params=["stored", "in memory"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeWords:
    world = made(tmp_path_factory.mktemp("written"))
    if request.param == "stored":
        update_words(world.root)
    return world


def found(world: MadeWords, query: str, kind: str = "") -> list[Moment]:
    words = ExactWords.open(world.data)
    return (words.within(kind) if kind else words).moments(parse_query(query), 10)


def spans(moments: list[Moment]) -> list[tuple[str, int, int]]:
    return [(Path(one.uri).stem, one.start_ms, one.end_ms) for one in moments]


def test_a_line_on_the_screen_is_one_moment_for_as_long_as_it_stays(world: MadeWords) -> None:
    [moment] = found(world, "screen:revenue")
    assert spans([moment]) == [("1", 2000, 18_000)], "the two windows that show it give one answer"
    assert [moment.text[start:end] for start, end in moment.highlights] == ["revenue"]
    assert spans(found(world, "ninths revenue")) == [("1", 5000, 18_000)], "from when both lines are shown"
    assert spans(found(world, '"quarterly revenue rose by"')) == [("1", 5000, 18_000)]


def test_a_caption_is_found_at_its_time_in_the_forms_of_its_language(world: MadeWords) -> None:
    assert spans(found(world, "subtitles:evening")) == [("2", 1000, 3000)]
    assert spans(found(world, "maison")) == [("2", 10_500, 12_000)]
    assert spans(found(world, "Hund")) == [("3", 500, 900)]
    [moment] = found(world, "subtitles:welcome")
    assert spans([moment]) == [("2", 9000, 11_000)], "a caption of two windows is one answer"
    assert [moment.text[start:end] for start, end in moment.highlights] == ["welcome"]


def test_a_phrase_goes_from_caption_to_caption_of_one_language_and_over_the_border_of_windows(
    world: MadeWords,
) -> None:
    assert spans(found(world, '"good evening and"')) == [("2", 1000, 11_000)]
    assert spans(found(world, '"and welcome to us"')) == [("2", 9000, 12_000)]
    assert spans(found(world, '"bonsoir à toutes"')) == [("2", 1000, 12_000)]
    assert found(world, '"evening bonsoir"') == [], "the next word is of another language"
    assert found(world, '"numbers quarterly"') == [], "nor does a phrase go from what is said to what is written"
    assert found(world, '"good evenings"') == [], "a phrase is not stemmed"


def test_fields_keep_the_kinds_apart_and_join_in_one_window(world: MadeWords) -> None:
    assert spans(found(world, "screen:numbers")) == []
    assert spans(found(world, "speech:numbers")) == [("1", 1500, 1800)]
    assert [one.uri[8:-4] for one in found(world, "speech:numbers screen:revenue")] == ["1"]
    assert [one.uri[8:-4] for one in found(world, 'speech:abend "good evening" screen:"tagesschau"')] == ["2"]
    assert found(world, 'speech:abend "good evening" screen:"abend"') == []
    assert spans(found(world, "numbers -screen:revenue")) == [("1", 0, 0)], "the title alone"


def test_a_phrase_on_a_screen_is_found_where_spaces_were_not_read(world: MadeWords) -> None:
    assert spans(found(world, '"results with parrot teams"')) == [("4", 0, 5000)]
    [moment] = found(world, 'screen:"results with parrot teams"')
    assert [moment.text[start:end] for start, end in moment.highlights] == ["ResultswithParrotteams"]
    assert found(world, '"with parrot"') == [], "it begins and ends where a word does"
    assert found(world, '"results with parrot team"') == []
    assert found(world, 'speech:"results with parrot teams"') == []


def test_a_phrase_goes_on_in_the_same_row_and_in_the_next(tmp_path: Path) -> None:
    world = MadeWords(tmp_path / "out", "ocr")
    ticker = [
        ("costs of the", 0, 6000),
        ("12:01", 1000, 2000),
        ("kettle", 2000, 8000),
        ("12:02", 2000, 9000),
        ("plan", 4000, 9000),
    ]
    world.say([(1, 0, "en", "")], screen={(1, 0): ticker}, tops={"12:01": 0.5, "12:02": 0.5})
    assert spans(found(world, '"of the kettle plan"')) == [("1", 4000, 6000)]
    assert found(world, '"kettle 12"') == []


def test_one_kind_alone_is_searched_without_naming_it(world: MadeWords) -> None:
    assert spans(found(world, "numbers revenue", "screen")) == [("1", 2000, 18_000)]
    assert spans(found(world, "evening tagesschau", "subtitles")) == [("2", 1000, 3000)]
    with pytest.raises(UsageError, match="title: is not searched with --in screen"):
        found(world, "title:numbers", "screen")


def test_words_on_a_screen_are_found_in_the_language_that_is_spoken_and_as_they_stand(world: MadeWords) -> None:
    assert spans(found(world, "screen:haus")) == spans(found(world, "screen:Häuser")) == [("2", 0, 10_000)]
    assert spans(found(world, "screen:ninths")), "English"
    assert spans(found(world, "screen:numbered")) == [], "no language is spoken there: as it stands alone"
    assert spans(found(world, "screen:numbering")) == [("1", 19_000, 20_000)]


def test_a_word_that_is_joined_to_others_on_a_screen_is_found_and_told(world: MadeWords) -> None:
    for query in ("parrot", "screen:parrot"):
        [moment] = found(world, query)
        assert spans([moment]) == [("4", 0, 5000)]
        assert moment.note == "'parrot' occurs nowhere, found 'ResultswithParrotteams'"
    assert found(world, "screen:rot") == [], "too short"


def test_languages_of_subtitles_have_their_stemmers(world: MadeWords) -> None:
    assert languages_of(world.data) >= {"en", "de", "fr"}


def test_an_index_from_before_a_sense_answers_and_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = MadeWords(tmp_path / "out")
    world.say(SAID)
    assert read_words_manifest(world.storage, update_words(world.root)[0].indexes["words"]).fields == (
        "speech",
        "title",
        "description",
    )
    with pytest.raises(UsageError, match=r"no texts of the kind screen; cure: .*--senses \+ocr --remodel"):
        found(world, "screen:revenue")
    later = made(tmp_path / "later")
    add_senses(world, later)
    assert spans(found(world, "numbers")) == [("1", 1500, 1800)]
    with pytest.raises(UsageError, match="built before the dataset had screen; cure: reelbeam index"):
        found(world, "screen:revenue")
    assert main(["search", world.root, "numbers", "--in", "words", "--json"]) == 0
    assert "built before the dataset had screen and subtitles" in capsys.readouterr().err
    published, manifest = update_words(world.root)
    assert manifest.why.startswith("full: the index has the texts speech, title, description, wanted speech, screen")
    assert list(check_words(world.data, "words", published.indexes["words"])) == []
    assert spans(found(world, "screen:revenue")) == [("1", 2000, 18_000)]


def add_senses(world: MadeWords, later: MadeWords) -> None:
    """The rows of `world` with the further senses of `later`, as after a remodelling."""
    rows = list(later.data.snapshot.shards)
    for shard in rows:
        world.storage.put(shard.path.replace("made", "later"), later.storage.get(shard.path))
    moved = tuple(replace(shard, path=shard.path.replace("made", "later")) for shard in rows)
    world.shape = later.shape

    def grown(parent: Snapshot) -> Snapshot:
        models = {**parent.models, **{name: sense.identity() for name, sense in SENSES.items()}}
        return replace(parent, shards=moved, shape=later.shape, models=models)

    world._commit(grown)


def test_an_update_adds_and_deletes_what_is_written(tmp_path: Path) -> None:
    world = made(tmp_path)
    update_words(world.root)
    world.say([(6, 0, "", "")], screen={(6, 0): [("A new slide", 0, 5000)]})
    published, manifest = update_words(world.root)
    assert manifest.why.startswith("update: 1 windows are new, 0 are gone")
    assert spans(found(world, "slide")) == [("6", 0, 5000)]
    world.remove(1)
    published, manifest = update_words(world.root)
    assert manifest.why.startswith("update: 0 windows are new, 2 are gone")
    assert found(world, "revenue") == []
    assert list(check_words(world.data, "words", published.indexes["words"])) == []
    world.say([(5, 0, "", "")], subtitles={(5, 0): [("nl", "goedendag", 0, 900)]})
    assert update_words(world.root)[1].why == "full: the first windows in the language nl"


def test_a_purge_looks_for_what_is_written_and_no_term_is_left(tmp_path: Path) -> None:
    world = made(tmp_path)
    update_words(world.root)
    one, two = (sentences_of(world.storage, video_id(number)) for number in (1, 2))
    assert "Quarterly revenue" in one
    assert {"Good evening,", "toutes les maisons"} <= set(two)
    assert not any("stream of" in said for said in two), "a source says nothing of a video's own"
    assert look_for(world.storage, two, video_id(2)).shared == ()
    world.remove(1)
    world.tidy()
    _, manifest = update_words(world.root)
    opened = OpenWords.of_build(world.storage, manifest)
    assert not any(opened.searcher.doc_freq(f"screen_{name}", "revenu") for name in manifest.analyzers)
    assert not opened.searcher.doc_freq("screen_plain", "revenue")
    assert opened.searcher.doc_freq("subtitles_en", "welcom")


def test_the_command_searches_one_kind(world: MadeWords, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", world.root, "welcome", "--in", "subtitles", "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["moments"]
    assert (answer["start_ms"], answer["end_ms"]) == (9000, 11_000)
    assert main(["search", world.root, "welcome", "--in", "screen", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["moments"] == []
    assert snapshots.load(world.storage).number

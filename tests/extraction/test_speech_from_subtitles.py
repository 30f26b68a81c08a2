"""--speech subtitles and auto: captions are the transcript where they cover the speech, and Whisper spends no second there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from nights import OFFLINE

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.tables import windows_schema
from reelbeam.transforms import metrics

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
TRUTH = {one["file"]: one for one in json.loads((SAMPLES / "truth.json").read_text())["videos"]}


def srt(sentences: list[dict[str, Any]]) -> str:
    def clock(ms: int) -> str:
        return f"00:{ms // 60_000:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"

    return "\n".join(
        f"{at}\n{clock(one['start_ms'])} --> {clock(one['end_ms'])}\n{one['text']}\n"
        for at, one in enumerate(sentences, 1)
    )


def beside(bucket: Path, video: str, name: str, sentences: list[dict[str, Any]]) -> None:
    bucket.mkdir(exist_ok=True)
    shutil.copy(SAMPLES / video, bucket / video)
    (bucket / name).write_text(srt(sentences))


class Heard:
    """A dataset, with what Whisper spent on it."""

    def __init__(self, bucket: Path, output: Path, *flags: str):
        before = dict(metrics.totals().get("transcribe", {}))
        assert main(["nightly", str(bucket), str(output), *OFFLINE, *flags]) == 0
        after = metrics.totals().get("transcribe", {})
        self.heard_ms = after.get("heard_ms", 0) - before.get("heard_ms", 0)
        self.speech_ms = after.get("speech_ms", 0) - before.get("speech_ms", 0)
        self.data = Dataset.open(str(output))
        self.rows = [row for _, batch in self.data.batches(self.names) for row in batch.to_pylist()]

    @property
    def names(self) -> list[str]:
        stored = windows_schema(self.data.snapshot.shape).names
        return [name for name in ("uri", "window", "text", "words", "language", "speech_source") if name in stored]

    @property
    def text(self) -> str:
        return " ".join(row["text"] for row in self.rows if row["text"])

    @property
    def sources(self) -> set[str]:
        return {row["speech_source"] for row in self.rows}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captioned")
    beside(folder, "desk.mp4", "desk.en.srt", TRUTH["desk.mp4"]["says"])
    return folder


def test_no_second_of_whisper_is_spent_where_captions_cover_the_speech(bucket: Path, tmp_path: Path) -> None:
    for how in ("subtitles", "auto"):
        made = Heard(bucket, tmp_path / how, "--speech", how)
        assert made.speech_ms > 5000
        assert made.heard_ms == 0
        [source] = made.sources
        assert source.startswith("subtitles: sidecar: desk.en.srt covers")
        assert made.text == " ".join(one["text"] for one in TRUTH["desk.mp4"]["says"])
        assert {row["language"] for row in made.rows if row["text"]} == {"en"}
        assert main(["verify", str(tmp_path / how)]) == 0
    words = [word for row in made.rows for word in row["words"]]
    true = {(one["word"]): one["start_ms"] for one in TRUTH["desk.mp4"]["words"]}
    late = [abs(word["start_ms"] - true[word["word"]]) for word in words if word["word"] in true]
    assert sorted(late)[len(late) // 2] <= 1000, "words are spread over their caption: a tick at the median"


def test_whisper_hears_what_the_captions_leave_out(bucket: Path, tmp_path: Path) -> None:
    says = TRUTH["desk.mp4"]["says"]
    part = tmp_path / "bucket"
    beside(part, "desk.mp4", "desk.srt", says[:1])
    whole = Heard(bucket, tmp_path / "whisper")
    assert "speech_source" not in whole.names, "the column exists only where there was a choice"
    made = Heard(part, tmp_path / "subtitles", "--speech", "subtitles")
    assert 0 < made.heard_ms < whole.heard_ms
    assert all(source.endswith("whisper hears the rest") for source in made.sources)
    assert made.text.startswith(says[0]["text"])
    assert len(made.text) > 1.5 * len(says[0]["text"])
    auto = Heard(part, tmp_path / "auto", "--speech", "auto")
    assert auto.heard_ms == whole.heard_ms
    assert auto.text == whole.text
    [source] = auto.sources
    assert source.startswith("whisper: sidecar: desk.srt covers")
    assert source.endswith("less than 80%")


def test_subtitles_in_another_language_or_forced_are_not_the_transcript(bucket: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "bucket"
    beside(foreign, "desk.mp4", "desk.de.srt", [{**one, "text": "Falsch"} for one in TRUTH["desk.mp4"]["says"]])
    (foreign / "desk.en.forced.srt").write_text(srt(TRUTH["desk.mp4"]["says"]))
    made = Heard(foreign, tmp_path / "out", "--speech", "subtitles")
    assert made.sources == {"whisper: no subtitles in en, but in de"}
    assert "Falsch" not in made.text


def test_a_night_with_another_speech_recomputes_the_words_alone_and_a_changed_file_the_video(
    bucket: Path, tmp_path: Path
) -> None:
    own = tmp_path / "bucket"
    beside(own, "desk.mp4", "desk.en.srt", TRUTH["desk.mp4"]["says"])
    output = tmp_path / "out"
    Heard(own, output)
    assert main(["nightly", str(own), str(output), *OFFLINE, "--speech", "subtitles"]) == 2, "it needs --remodel"
    made = Heard(own, output, "--speech", "subtitles", "--remodel")
    assert made.heard_ms == 0
    assert made.text == " ".join(one["text"] for one in TRUTH["desk.mp4"]["says"])
    number = made.data.snapshot.number
    assert main(["nightly", str(own), str(output), *OFFLINE, "--speech", "subtitles"]) == 0
    assert Dataset.open(str(output)).snapshot.number == number
    (own / "desk.en.srt").write_text(srt([{**one, "text": "Something else"} for one in TRUTH["desk.mp4"]["says"]]))
    changed = Heard(own, output, "--speech", "subtitles")
    assert set(changed.text.split()) == {"Something", "else"}
    assert main(["verify", str(output)]) == 0


def test_states_of_whisper_and_words_of_subtitles_exclude_each_other(
    bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["extract", str(bucket), str(tmp_path), "--models", "offline", "--speech", "auto", "--audio-embedding"])
        == 2
    )
    assert "what is not heard has no embedding" in capsys.readouterr().err

"""Which streams of a file are read: by default as a player does, or as `--video-stream` and `--audio-stream` say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.extraction import ExtractOptions
from reelbeam.pipeline.playing import frame_at
from reelbeam.schemas.errors import InputError, UsageError
from reelbeam.schemas.options import data_options
from reelbeam.transforms.probe import probe_file
from reelbeam.transforms.streams import LANGUAGE_CODES, StreamChoice, tags_of


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cover picture, two pictures of one size (red, then blue), sound in English, in German, and in no language's name."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    sources = [f"-f lavfi -i color={colour}:s=160x90:r=10:d=3" for colour in ("red", "blue")]
    sources += [f"-f lavfi -i sine=f={hertz}:r=16000:d=3" for hertz in (300, 600, 900)]
    maps = "-map 0 -map 1 -map 2 -map 3 -map 4 -c:v mpeg4 -q:v 2 -c:a pcm_s16le"
    marks = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=ger -disposition:a:1 0 -disposition:v:1 0"
    command = f"ffmpeg -nostdin -v error {' '.join(sources)} {maps} {marks}"
    subprocess.run([*command.split(), str(path)], check=True, timeout=60)
    return path


def read(film: Path, **choice: str) -> tuple[int | None, int | None]:
    """ffmpeg's own numbers of the streams that are read."""
    probe = probe_file(film, StreamChoice(**choice))
    return probe.video_stream, probe.audio_stream


def test_a_stream_is_chosen_by_its_number_or_its_language(film: Path) -> None:
    assert read(film) == (0, 2)
    assert read(film, video="1") == (1, 2)
    assert read(film, audio="2") == (0, 4)
    for german in ("de", "deu", "ger", "DE"):
        assert read(film, video="0", audio=german) == (0, 3)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"video": "2"}, r"--video-stream 2: .*0 \(mpeg4 160x90\), 1 \(mpeg4 160x90\)"),
        ({"audio": "3"}, r"--audio-stream 3: .*0 \(pcm_s16le eng\), 1 \(pcm_s16le ger\), 2 \(pcm_s16le\)"),
        ({"audio": "fr"}, r"--audio-stream fr: .*1 \(pcm_s16le ger\)"),
    ],
)
def test_a_file_that_lacks_the_stream_says_what_it_has(choice: dict[str, str], said: str, film: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        probe_file(film, StreamChoice(**choice))
    assert caught.value.kind == "no_such_stream"


def test_a_cover_picture_has_no_number(tmp_path: Path, film: Path) -> None:
    cover, sound = tmp_path / "cover.png", tmp_path / "cover.mp3"
    run = ["ffmpeg", "-nostdin", "-v", "error"]
    subprocess.run([*run, *"-f lavfi -i color=red:s=64x64 -frames:v 1".split(), str(cover)], check=True, timeout=60)
    song = f"-f lavfi -i sine=440:d=1 -i {cover} -map 0 -map 1 -c:v png -disposition:v:0 attached_pic"
    subprocess.run([*run, *song.split(), str(sound)], check=True, timeout=60)
    with pytest.raises(InputError, match="--video-stream 0: the file has no such stream; it has none"):
        probe_file(sound, StreamChoice(video="0"))
    with pytest.raises(InputError, match=r"--audio-stream de: .*0 .mp3"):
        probe_file(sound, StreamChoice(audio="de"))


@pytest.mark.parametrize("wrong", [{"video_stream": "-1"}, {"video_stream": "de"}, {"audio_stream": "german"}])
def test_what_is_no_number_and_no_language_is_refused_before_a_job_starts(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')} "):
        ExtractOptions(**wrong)


def test_a_choice_changes_the_fingerprint_and_no_choice_leaves_it() -> None:
    plain = data_options(ExtractOptions())
    assert not {"video_stream", "audio_stream"} & set(plain)
    assert data_options(ExtractOptions(video_stream="0", audio_stream="de")) == {
        **plain,
        "video_stream": "0",
        "audio_stream": "de",
    }


def test_every_language_of_whisper_has_its_tags() -> None:
    from reelbeam.models.whisper_settings import LANGUAGES

    assert set(LANGUAGE_CODES) == set(LANGUAGES)
    assert tags_of("zho") == ("zh", "zho", "chi")
    assert tags_of("smi") == ("smi",), "a code that Whisper does not know can be a tag all the same"


def test_a_run_reads_the_streams_that_were_asked_for(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "film.mkv").write_bytes(film.read_bytes())
    plain = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=green:s=64x64:r=10:d=1"]
    subprocess.run([*plain, str(folder / "silent.mp4")], check=True, timeout=60)
    found = {}
    for name, flags in {"plain": [], "second": ["--video-stream", "1", "--audio-stream", "de"]}.items():
        assert main(["extract", str(folder), str(tmp_path / name), "--models", "offline", *flags]) == 0
        dataset = Dataset.open(str(tmp_path / name))
        found[name] = {row["uri"]: row["status"] for row in dataset.newest.to_pylist()}
        rows = next(batch for _, batch in dataset.batches(["uri", "frame_embedding", "audio_feature"]))
        film_row = [Path(uri).name for uri in rows["uri"].to_pylist()].index("film.mkv")
        found[name + " bytes"] = rows["frame_embedding"][film_row].as_py(), rows["audio_feature"][film_row].as_py()
    assert sorted(found["plain"].values()) == ["ok", "ok"]
    assert sorted(found["second"].values()) == ["failed", "ok"]
    seen, heard = (
        np.array(one) != np.array(two) for one, two in zip(found["plain bytes"], found["second bytes"], strict=True)
    )
    assert seen.any()
    assert heard.any()
    [failure] = Dataset.open(str(tmp_path / "second")).table("failures").to_pylist()
    assert (failure["kind"], failure["stage"]) == ("no_such_stream", "probe")
    assert "--video-stream 1" in failure["message"]
    assert Dataset.open(str(tmp_path / "second")).snapshot.options["audio_stream"] == "de"
    capsys.readouterr()
    assert main(["extract", str(folder), str(tmp_path / "second"), "--models", "offline"]) == 2
    assert "video_stream: stored 1, asked not given" in capsys.readouterr().err


def test_pictures_of_answers_are_those_of_the_stream_that_was_read(film: Path) -> None:
    assert frame_at(film, 500, stream="1") not in (None, frame_at(film, 500))
    assert frame_at(film, 500, stream="0") == frame_at(film, 500)

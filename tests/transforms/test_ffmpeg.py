"""Decoders are guarded: they end in time, leave nothing behind, and open nothing but their file."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from open_files import open_files

from reelbeam.schemas.errors import InputError
from reelbeam.transforms.ffmpeg import Limits, run
from reelbeam.transforms.probe import probe_file

FREE = Limits(wall_s=20, stall_s=10, output_bytes=1 << 20)


def processes_named(mark: str) -> list[str]:
    """Command lines of live processes that hold a mark."""
    lines = subprocess.run(["ps", "-eo", "stat,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if mark in line and not line.startswith("Z") and "ps -eo" not in line]


def test_what_a_program_writes_to_its_pipes_comes_back_in_order() -> None:
    finished = run(["bash", "-c", "echo one >&{pipe0}; echo two >&{pipe1}; echo words >&2; exit 3"], 2, FREE)
    assert [bytes(output) for output in finished.outputs] == [b"one\n", b"two\n"]
    assert (finished.exit_code, finished.errors) == (3, "words")


@pytest.mark.parametrize(
    ("script", "limits", "kind"),
    [
        ("sleep 4321", Limits(1, 60, 1000), "timeout"),
        ("sleep 4321", Limits(60, 1, 1000), "timeout"),
        ("sleep 4321 & sleep 4321", Limits(1, 60, 1000), "timeout"),
        ("cat /dev/zero >&{pipe0}; sleep 4321", Limits(60, 60, 1000), "oversized"),
    ],
)
def test_a_program_over_a_limit_is_ended_with_all_its_children(script: str, limits: Limits, kind: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        run(["bash", "-c", script], 1, limits)
    assert caught.value.kind == kind
    assert time.monotonic() - started < 15
    assert not processes_named("sleep 4321")


def test_no_pipe_is_left_open() -> None:
    before = open_files()
    for _ in range(5):
        run(["true"], 3, FREE)
    assert not open_files() - before


def test_a_missing_program_is_a_fault_of_the_machine() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run(["no-such-program"], 0, FREE)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{secret}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_playlist_in_disguise_opens_nothing(text: str, tmp_path: Path, make_video) -> None:  # type: ignore[no-untyped-def]
    secret = make_video("secret.mp4", 1)
    disguised = tmp_path / "innocent.mp4"
    disguised.write_text(text.format(secret=secret))
    with pytest.raises(InputError) as caught:
        probe_file(disguised)
    assert caught.value.kind == "not_media"


@pytest.mark.parametrize("name", ["-i.mp4", "%d.mp4", "a b'c\".mp4", "concat:x.mp4", "né\nw.mp4", "x;touch y.mp4"])
def test_no_name_is_read_as_anything_but_a_name(name: str, tmp_path: Path, make_video) -> None:  # type: ignore[no-untyped-def]
    odd = tmp_path / name
    odd.write_bytes(make_video("plain.mp4", 1).read_bytes())
    assert probe_file(odd).video_codec == "h264"

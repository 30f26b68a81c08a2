"""Plain MP4 files are probed by one process for many files. It says what ffprobe says, and where it cannot, ffprobe is asked."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kinds import KINDS
from odd_media import ODD, Odd, plain

from reelbeam.schemas.elements import Probe
from reelbeam.schemas.errors import InputError
from reelbeam.transforms import probe, quick_probe
from reelbeam.transforms.ffmpeg import MEMORY_BYTES
from reelbeam.transforms.quick_probe import Prober

BUCKET = Path(__file__).resolve().parents[2] / "examples" / "sample_bucket"

pytest.importorskip("av")


def facts(path: Path) -> Probe | str:
    """What a probe finds, or its error."""
    try:
        return probe.probe_file(path)
    except InputError as error:
        return f"{error.kind}: {error}"


def same_as_ffprobe(path: Path, patch: pytest.MonkeyPatch) -> bool:
    """Whether the process answers for a file. Asserts that its answer leads to the same facts as ffprobe's."""
    quick = quick_probe.quick_report(path)
    if quick is None:
        return False
    found = facts(path)
    with patch.context() as context:
        context.setattr(probe, "quick_report", lambda _: None)
        assert found == facts(path), path
    return True


def test_every_supported_kind_has_the_facts_of_ffprobe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mp4 = [kind for kind in KINDS if kind.file.endswith((".mp4", ".mov", ".m4a", ".3gp"))]
    answered = {kind.file for kind in mp4 if same_as_ffprobe(kind.make(tmp_path), monkeypatch)}
    assert {"h264.mp4", "h264.mov", "hevc.mp4"} <= answered
    assert not {"fragmented.mp4", "tall.mp4", "hlg.mp4"} & answered


@pytest.mark.parametrize("odd", [one for one in ODD if not one.slow], ids=lambda odd: odd.make.__name__)
def test_odd_files_have_the_facts_of_ffprobe(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd.make(tmp_path)
    for path in sorted(tmp_path.rglob("*")):
        if path.is_file() and os.access(path, os.R_OK):
            same_as_ffprobe(path, monkeypatch)


def test_the_sample_bucket_is_answered_by_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = sorted(BUCKET.glob("*.mp4"))
    assert sum(same_as_ffprobe(path, monkeypatch) for path in videos) >= len(videos) // 2


def test_real_files_have_the_facts_of_ffprobe(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path for path in sorted(media.rglob("*")) if path.suffix in (".mp4", ".mov", ".m4a", ".3gp")]
    assert sum(same_as_ffprobe(path, monkeypatch) for path in files) >= 20


def test_the_reason_for_asking_ffprobe_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    turned = plain(tmp_path, "fragments.mp4", extra="-movflags frag_keyframe+empty_moov")
    with caplog.at_level(logging.DEBUG, "reelbeam"):
        assert quick_probe.quick_report(turned) is None
    assert "fragments.mp4: ffprobe is asked: it has fragments" in caplog.text


def test_one_process_answers_for_many_files_and_is_replaced_when_it_dies(tmp_path: Path) -> None:
    film, prober = plain(tmp_path), Prober()
    try:
        first = prober.report(film)
        assert first
        assert prober._process
        started = prober._process.pid
        assert prober.report(film) == first
        assert prober._process.pid == started
        os.kill(started, signal.SIGKILL)
        prober._process.wait()
        assert prober.report(film) == first
        assert prober._process.pid != started
    finally:
        prober.close()


def test_a_python_file_beside_the_videos_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("av", "json", "mmap"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    prober = Prober()
    try:
        assert prober.report(plain(tmp_path / "videos"))
    finally:
        prober.close()
    assert not (tmp_path / "ran").exists()


def test_a_process_that_stalls_is_killed_and_ffprobe_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    film, prober = plain(tmp_path), Prober()
    try:
        assert prober.report(film)
        stalled = prober._process
        assert stalled
        os.kill(stalled.pid, signal.SIGSTOP)
        monkeypatch.setattr(quick_probe, "STALL_S", -9.5)
        with caplog.at_level(logging.DEBUG, "reelbeam"):
            assert prober.report(film) is None
        assert "died or stalled" in caplog.text
        assert stalled.poll() is not None
    finally:
        prober.close()


def test_the_process_has_the_limits_of_ffprobe_and_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from reelbeam.transforms import quick_probe as q\n"
        "import os, sys; assert q.quick_report(Path(sys.argv[1])); print(q._prober._process.pid, flush=True)\n"
        "print(open(f'/proc/{q._prober._process.pid}/limits').read(), flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(plain(tmp_path))], capture_output=True, text=True, check=False, timeout=60
    )
    pid, _, limits = ended.stdout.partition("\n")
    [address_space] = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert str(MEMORY_BYTES) in address_space
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the probing process outlived its parent")

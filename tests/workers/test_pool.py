"""Worker processes: results keep their order, a killed worker costs little, and none outlives its launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import worker_tasks
from conftest import REPOSITORY
from worker_tasks import SHARES, Doubling, doubled, lost, parentage

from reelbeam.models import devices
from reelbeam.models.devices import SHARE, cores, own_cores
from reelbeam.pipeline.indexes.build import _killed
from reelbeam.pipeline.workers import Pool, each_in_workers, shares, worker_count
from reelbeam.schemas.errors import GateError, ReelbeamError, UsageError


def pooled(folder: Path, pieces: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    with Pool(doubled, SHARES, lambda share: str(folder), lost) as pool:
        return list(pool.run(pieces))


def test_results_come_in_order_whatever_ends_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own := tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))  # other tests have workers, too
    assert pooled(tmp_path, [["slow"], ["b", "c"], ["d"]]) == [[["slowslow"]], [["bb", "cc"]], [["dd"]]]
    assert not os.listdir(own), "a worker's folder goes with it"


def test_the_item_that_kills_is_found_and_all_others_are_done(tmp_path: Path) -> None:
    made = pooled(tmp_path, [["a", "b", "kills", "d", "e"], ["f"]])
    assert [[one for part in piece for one in part] for piece in made] == [
        ["aa", "bb", "[signal SIGKILL][signal SIGKILL]", "dd", "ee"],
        ["ff"],
    ]


def test_a_piece_whose_worker_is_killed_once_is_done_again_as_a_whole(tmp_path: Path) -> None:
    assert pooled(tmp_path, [["once 1", "b"], ["c", "once 2"]]) == [[["once 1once 1", "bb"]], [["cc", "once 2once 2"]]]


def test_when_the_process_that_forks_workers_is_killed_they_die_with_it_and_all_is_done_again(tmp_path: Path) -> None:
    assert pooled(tmp_path, [["slow"], ["orphaned"], ["c"]]) == [[["slowslow"]], [["orphanedorphaned"]], [["cc"]]]


def test_workers_are_forked_from_one_process_that_has_imported_what_they_need() -> None:
    with Pool(parentage, SHARES, lambda share: None, lost, ["worker_tasks"]) as pool:
        [(parent, loaded_by), other] = [found for [found] in pool.run([["a"], ["b"]])]
    assert other == (parent, loaded_by)
    assert parent == loaded_by != os.getpid()


def test_an_error_keeps_its_kind_and_comes_after_the_earlier_results(tmp_path: Path) -> None:
    with Pool(doubled, SHARES, lambda share: str(tmp_path), lost) as pool:
        results = pool.run([["slow"], ["raises"], ["c"]])
        assert next(results) == [["slowslow"]]
        with pytest.raises(GateError, match="too many failed") as raised:
            next(results)
    assert "in worker" in raised.value.__notes__[0]


def test_the_work_of_a_stage_is_set_up_once_a_worker_and_done_in_order(tmp_path: Path) -> None:
    found = each_in_workers(Doubling(str(tmp_path)), ["slow", "b", "c", "once", "e"], SHARES, lost)
    assert found == ["slowslow", "bb", "cc", "onceonce", "ee"]
    set_up = [path.name.split("-")[0] for path in tmp_path.glob("*.setup")]
    assert len(set_up) == len(set(set_up)) >= 2, "once in each process"


def test_a_part_that_kills_each_time_ends_the_work_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(ReelbeamError, match=r"SIGKILL.*cure: a smaller --memory-mb"):
        each_in_workers(Doubling(str(tmp_path)), ["a", "kills", "c"], SHARES, _killed)


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_worker_and_no_decoder_outlives_the_launcher(signal_name: str, tmp_path: Path) -> None:
    launcher = subprocess.Popen(
        [sys.executable, worker_tasks.__file__, str(tmp_path)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
    )
    try:
        pids = awaited(tmp_path, 4)
        launcher.send_signal(getattr(signal, signal_name))
        launcher.wait(20)
        deadline = time.monotonic() + 10
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not [pid for pid in pids if alive(pid)]
    finally:
        launcher.kill()
        launcher.wait()


def awaited(folder: Path, count: int) -> list[int]:
    """The process ids that tasks have written down, when they are so many."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [int(file.stem) for file in folder.glob("*.pid")]
        if len(found) == count:
            assert all(alive(pid) for pid in found)
            return found
        time.sleep(0.02)
    raise AssertionError(f"only {os.listdir(folder)} after a minute")


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_cannot_start_is_an_error_and_not_tried_for_ever(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="before it was ready"),
        Pool(Unreadable(), SHARES, lambda share: None, lost) as pool,
    ):
        list(pool.run([["a"], ["b"]]))


class Unreadable:
    """A function that no worker can load."""

    def __call__(self, items: Sequence[str], given: object) -> None: ...

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit(3)",)


def test_many_workers_on_many_cores_do_not_each_fill_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (devices, sys.modules[shares.__module__]):
        monkeypatch.setattr(module, "cores", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for workers, own in ((16, 4), (3, 21), (200, 1)):
        for share in shares(workers, "cpu", 64):
            monkeypatch.setenv(*share.environment.popitem())
            assert own_cores() == own
    monkeypatch.setenv(SHARE, "21")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # what a user sets for the whole command holds in its workers
    assert own_cores() == 2


def test_decoders_and_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    assert worker_count("auto", "auto") == worker_count("auto", "cuda") == 2
    three = shares(3, "cuda", 7)
    assert [share.gpu for share in three] == ["GPU-a", "GPU-b", "GPU-a"]
    assert [share.decoders for share in three] == [2, 2, 2]
    third, half = (str(max(1, cores() // workers)) for workers in (3, 2))
    assert three[1].environment == {"CUDA_VISIBLE_DEVICES": "GPU-b", SHARE: third}
    assert [share.environment for share in shares(2, "cpu", 1)] == [{SHARE: half}, {SHARE: half}]
    assert worker_count("auto", "cpu") == len(os.sched_getaffinity(0))
    with pytest.raises(UsageError, match="cure: --device cuda"):
        shares(2, "cuda:1", 2)
    for wrong in ("0", "two", "-1", ""):
        with pytest.raises(UsageError, match="1 to 1024, or auto"):
            worker_count(wrong, "cpu")

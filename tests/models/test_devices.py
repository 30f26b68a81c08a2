"""The machine's GPUs and threads are looked at without importing torch, where that is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reelbeam.models import devices


def in_fresh_process(code: str, **environment: str) -> str:
    """What a program prints."""
    known = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**known, **environment}
    )
    return done.stdout.strip()


PREPARED = (
    "import os, sys; from reelbeam.pipeline.extraction import ExtractOptions, prepare_job\n"
    "prepare_job('out', ExtractOptions(models='offline'))\n"
    "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
)


def test_a_job_lets_idle_threads_sleep_and_keeps_the_users_own_setting() -> None:
    assert in_fresh_process(PREPARED).startswith("PASSIVE")
    assert in_fresh_process(PREPARED, OMP_WAIT_POLICY="ACTIVE").startswith("ACTIVE")


@pytest.mark.skipif(devices.may_have_gpu(), reason="this machine may have a GPU, so torch is asked")
def test_a_job_is_prepared_without_torch_where_there_is_no_gpu() -> None:
    assert in_fresh_process(PREPARED).endswith("False")


def test_torch_is_asked_where_there_may_be_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "GPU_FILES", ("null",))
    assert devices.pick_device("auto") == "cuda"
    monkeypatch.setattr(devices, "GPU_FILES", ("no-such-file",))
    assert devices.pick_device("auto") == "cpu"
    assert not Path("/dev/no-such-file").exists()

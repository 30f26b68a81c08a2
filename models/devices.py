"""The processor cores and the GPU that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from ..schemas.errors import UsageError


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_threads() -> int:
    """OMP_NUM_THREADS where it is set, else the cores that this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS") or 0) or cores()


SHARE = "REELBEAM_CORES"
"""Environment variable of a worker process: how many cores it should fill."""


def own_cores() -> int:
    """`cpu_threads`, and in a worker its share of the cores at most. For work whose results do not depend on the number of threads."""
    return min(int(os.environ.get(SHARE) or 0) or cpu_threads(), cpu_threads())


def wait_without_spinning() -> None:
    """Makes OpenMP's idle threads sleep in this process and those that it starts. Call it before torch is imported; a user's own
    setting stays.

    By default they spin until the next piece of work. Beside decoders that want the same cores this took an eighth of all processor
    time of an extraction.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


GPU_FILES = ("nvidia0", "nvidiactl", "nvidia-caps", "dxg", "kfd", "nvhost-gpu", "nvmap")
"""Files in /dev of which every machine with a GPU that torch can use has one: Linux, WSL, ROCm, Jetson."""


def may_have_gpu() -> bool:
    """Whether this machine may have a GPU, without importing torch. False is certain, True is not."""
    return any(Path("/dev", name).exists() for name in GPU_FILES)


def pick_device(device: str) -> str:
    """The device to use: `auto` means the GPU when there is one. Raises UsageError for a GPU that does not exist."""
    if device == "auto" and not may_have_gpu():
        return "cpu"
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: torch sees no CUDA device here; use --device auto or cpu")
    return device

"""The processor cores and the GPU that this process may use."""

from __future__ import annotations

import os

from ..schemas.errors import UsageError


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def pick_device(device: str) -> str:
    """The device to use: `auto` means the GPU when there is one. Raises UsageError for a GPU that does not exist."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: torch sees no CUDA device here; use --device auto or cpu")
    return device

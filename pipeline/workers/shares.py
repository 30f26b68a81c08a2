"""What each worker process gets of this machine: its cores and its GPU."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...models.devices import SHARE, cores, may_have_gpu
from ...schemas.errors import UsageError

AUTO = "auto"

CORES_PER_WORKER = 1
"""Cores a worker for `auto` on CPUs, at least."""


@dataclass(frozen=True)
class Share:
    """One worker's part of the machine."""

    number: int
    """From 1, as logs name it."""
    decoders: int
    """Decoder processes at once."""
    gpu: str | None
    """What CUDA_VISIBLE_DEVICES becomes; None leaves it as it is."""
    cores: int = 1
    """Batches of CLIP and of Whisper side by side. What depends on the number of threads (the sentence model, OCR) keeps that of one
    process."""

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that differ from the launcher's."""
        own = {SHARE: str(self.cores)}
        return own if self.gpu is None else {**own, "CUDA_VISIBLE_DEVICES": self.gpu}


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them. Opens none of them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if named or not may_have_gpu():
        return named
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def worker_count(asked: str, device: str) -> int:
    """How many workers `--workers` means. `auto` is one a GPU where models run on GPUs, else one for CORES_PER_WORKER cores.

    Raises UsageError for a text that is neither a number from 1 to 1024 nor auto.
    """
    if asked == AUTO:
        return max(1, len(gpus())) if on_gpu(device) else max(1, cores() // CORES_PER_WORKER)
    if not asked.isdecimal() or not 1 <= int(asked) <= 1024:
        raise UsageError(f"--workers {asked}: allowed is 1 to 1024, or auto")
    return int(asked)


def on_gpu(device: str) -> bool:
    """Whether models run on GPUs, without opening one."""
    return device.startswith("cuda") or (device == "auto" and bool(gpus()))


def shares(workers: int, device: str, decoders: int) -> list[Share]:
    """The shares of N workers: decoders and cores are split, and GPUs are dealt in turn.

    Raises UsageError when --device names one GPU for many workers.
    """
    if workers > 1 and ":" in device:
        raise UsageError(f"--device {device} with {workers} workers: each gets a GPU of its own; cure: --device cuda")
    dealt = gpus() if on_gpu(device) else []
    return [
        Share(
            number + 1,
            max(1, decoders // workers),
            dealt[number % len(dealt)] if dealt else None,
            max(1, cores() // workers),
        )
        for number in range(workers)
    ]

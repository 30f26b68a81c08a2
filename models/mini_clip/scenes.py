"""Composes training frames: drawings on backgrounds, degraded as video frames are, a whole batch at a time.

In:   drawings, uint8 RGBA [n, 64, 64, 4], straight alpha.
Out:  `scenes`: float32 [b, 3, 64, 64] in 0..1, the centre square that open_clip's preprocessing crops from a
      16:9 frame. About 0.7 ms per frame on one CPU core.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZE_PX = 64


def inked(rgba: np.ndarray) -> np.ndarray:
    """Draws black outlines on drawings uint8 [n, h, w, 4], to imitate styles with outlines."""
    x = torch.from_numpy(rgba).permute(0, 3, 1, 2).float() / 255
    x = torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], dim=1)
    contrast = (F.max_pool2d(x, 3, 1, 1) + F.max_pool2d(-x, 3, 1, 1)).amax(1, keepdim=True)
    line = ((contrast - 0.2) * 4).clamp(0, 1)
    alpha = torch.maximum(x[:, 3:], line)
    colour = x[:, :3] * (1 - line) / alpha.clamp(min=1e-3)
    return (torch.cat([colour.clamp(0, 1), alpha], 1) * 255).byte().permute(0, 2, 3, 1).numpy()


class Sprites:
    """Drawings ready to paste: premultiplied RGBA at two resolutions, so that small ones do not alias."""

    def __init__(self, rgba: np.ndarray, device: torch.device | str = "cpu"):
        x = torch.from_numpy(rgba).to(device).permute(0, 3, 1, 2).float() / 255
        x = torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], dim=1)
        self.levels = {64: x.half(), 32: F.avg_pool2d(x, 2).half()}
        self.device = device

    def __len__(self) -> int:
        return len(self.levels[64])

    def paste(self, frames: Tensor, which: Tensor, height: Tensor, centre: Tensor, shake: float) -> Tensor:
        """Pastes drawing `which[i]` onto `frames[i]`, slightly rotated and tinted.

        `height` is the drawing's height as a share of the frame's; `centre` is its middle as x, y in -1..1.
        """
        b = len(frames)
        turn = torch.randn(b, device=self.device) * 0.15 * shake
        mirror = torch.where(_chance(b, 0.5 * min(shake, 1), self.device), -1.0, 1.0)
        stretch = torch.exp(torch.randn(b, device=self.device) * 0.08 * shake)
        cos, sin = torch.cos(turn) / height, torch.sin(turn) / height
        cx, cy = centre.unbind(1)
        wide = mirror * stretch
        rows = [
            torch.stack([wide * cos, wide * sin, -wide * (cos * cx + sin * cy)], 1),
            torch.stack([-sin, cos, sin * cx - cos * cy], 1),
        ]
        grid = F.affine_grid(torch.stack(rows, 1), [b, 4, SIZE_PX, SIZE_PX], align_corners=False)
        layer = torch.empty(b, 4, SIZE_PX, SIZE_PX, device=self.device)
        for level, small in ((32, True), (64, False)):
            at = torch.nonzero((height < 0.55) == small).squeeze(1)
            layer[at] = F.grid_sample(self.levels[level][which[at]].float(), grid[at], align_corners=False)
        colour, alpha = layer[:, :3], layer[:, 3:].clamp(0, 1)
        return frames * (1 - alpha) + _tint(colour, alpha, shake)


def backgrounds(b: int, sprites: Sprites) -> Tensor:
    """Random backgrounds [b, 3, 64, 64]: plain, gradient, stripes, checks, clouds, blurred drawings, grain."""
    device = sprites.device
    kind = torch.randint(0, 7, (b,), device=device)
    a, c = torch.rand(b, 3, 1, 1, device=device), torch.rand(b, 3, 1, 1, device=device)
    c = torch.where(_chance(b, 0.5, device).view(b, 1, 1, 1), (a + (c - 0.5) * 0.4).clamp(0, 1), c)
    line = torch.linspace(-1, 1, SIZE_PX, device=device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    angle = torch.rand(b, 1, 1, device=device) * 2 * math.pi
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    waves = math.pi * torch.exp(torch.rand(b, 1, 1, device=device) * 2.5)
    stripes = torch.sin(along * waves + angle * 7)
    checks = stripes * torch.sin(across * waves)
    mix = torch.zeros(b, SIZE_PX, SIZE_PX, device=device)
    patterns = (along * 0.5, (stripes * 4).clamp(-0.5, 0.5), (checks * 8).clamp(-0.5, 0.5))
    for k, pattern in enumerate(patterns, start=1):
        mix = torch.where((kind == k).view(b, 1, 1), pattern + 0.5, mix)
    out = a + (c - a) * mix.clamp(0, 1).unsqueeze(1)

    at = torch.nonzero((kind == 4) | (kind == 6)).squeeze(1)  # clouds of three octaves, grey or coloured
    if len(at):
        noise = torch.zeros(len(at), 3, SIZE_PX, SIZE_PX, device=device)
        grey = _chance(len(at), 0.5, device).view(-1, 1, 1, 1)
        for cells in (3, 8, 20):
            octave = torch.randn(len(at), 3, cells, cells, device=device) * (3 / cells) ** 0.7
            octave = torch.where(grey, octave[:, :1], octave)
            noise += F.interpolate(octave, size=SIZE_PX, mode="bilinear", align_corners=False)
        out[at] = (out[at] + noise * torch.rand(len(at), 1, 1, 1, device=device) * 0.3).clamp(0, 1)
    at = torch.nonzero(kind == 5).squeeze(1)  # other drawings, huge and blurred
    if len(at):
        for _ in range(2):
            which = torch.randint(0, len(sprites), (len(at),), device=device)
            height = 0.8 + torch.rand(len(at), device=device) * 1.5
            centre = torch.rand(len(at), 2, device=device) * 2 - 1
            out[at] = sprites.paste(out[at], which, height, centre, 2.0)
        soft = F.avg_pool2d(out[at], 5, stride=4, padding=2, count_include_pad=False)
        out[at] = F.interpolate(soft, size=SIZE_PX, mode="bilinear", align_corners=False)
    grain = torch.where(kind == 6, 0.12, 0.0).view(b, 1, 1, 1) * torch.rand(b, 1, 1, 1, device=device)
    return (out + grain * torch.randn_like(out)).clamp(0, 1)


def degrade(frames: Tensor) -> Tensor:
    """Degrades frames as cameras and codecs do: brightness, contrast, blur, coarse 8 x 8 blocks, sensor noise."""
    b, device = len(frames), frames.device
    gain = 1 - torch.rand(b, 1, 1, 1, device=device) ** 2 * 0.6  # low contrast is rarer
    shift = (1 - gain) * torch.rand(b, 1, 1, 1, device=device) + torch.randn(b, 1, 1, 1, device=device) * 0.04
    out = frames * gain + shift

    at = torch.nonzero(_chance(b, 0.3, device)).squeeze(1)
    kernel = torch.tensor([1.0, 2.0, 1.0], device=device)
    kernel = (kernel[:, None] * kernel / 16).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(out[at], (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    out[at] = torch.lerp(out[at], soft, torch.rand(len(at), 1, 1, 1, device=device))

    at = torch.nonzero(_chance(b, 0.3, device)).squeeze(1)
    out[at] = _quantise(out[at], 0.02 + 0.1 * torch.rand(len(at), 1, 1, 1, 1, 1, device=device))
    return (out + torch.randn_like(out) * 0.02 * torch.rand(b, 1, 1, 1, device=device)).clamp(0, 1)


def scenes(sprites: Sprites, which: Tensor, hardness: float = 1.0) -> Tensor:
    """Composes frames: drawing `which[i]` in frame i (-1: none), at 25..100 % of the height, mostly central.

    A fifth of the frames also have a second drawing, half as large, which no caption mentions. `hardness` 0
    shows every drawing whole and clear on one colour; with 1, half of the frames have the full difficulty.
    """
    b, device = len(which), sprites.device
    hard = (2 * hardness * torch.rand(b, 1, 1, 1, device=device)).clamp(max=1)
    frames = torch.lerp(torch.rand(b, 3, 1, 1, device=device), backgrounds(b, sprites), hard)
    height = 1 - 0.75 * hard.view(b) * torch.rand(b, device=device) ** 0.8
    room = (1.15 - height).unsqueeze(1)  # a drawing may stick out a little
    centre = (torch.randn(b, 2, device=device) * 0.6).clamp(-1, 1) * room * hard.view(b, 1)

    second = torch.nonzero(_chance(b, 0.2 * min(1.0, hardness), device) & (which >= 0)).squeeze(1)
    other = torch.randint(0, len(sprites), (len(second),), device=device)
    corner = torch.sign(torch.randn(len(second), 2, device=device))
    corner *= 0.5 + 0.4 * torch.rand(len(second), 2, device=device)
    frames[second] = sprites.paste(frames[second], other, height[second] * 0.5, corner, 1.0)

    first = torch.nonzero(which >= 0).squeeze(1)
    frames[first] = sprites.paste(frames[first], which[first], height[first], centre[first], 1.0)
    return torch.lerp(frames, degrade(frames), hard)


def _chance(b: int, p: float, device: torch.device | str) -> Tensor:
    return torch.rand(b, device=device) < p


def _tint(colour: Tensor, alpha: Tensor, shake: float) -> Tensor:
    """Tints premultiplied colours slightly: mixes channels, towards grey, darker or lighter."""
    b, device = len(colour), colour.device
    blend = torch.eye(3, device=device) + torch.randn(b, 3, 3, device=device) * 0.06 * shake
    blend = blend / blend.sum(2, keepdim=True)  # keeps greys grey
    pale = (torch.rand(b, 1, 1, device=device) - 0.6).clamp(min=0) * 1.5 * min(shake, 1)
    blend = torch.lerp(blend, torch.full((3, 3), 1 / 3, device=device).expand_as(blend), pale)
    colour = torch.einsum("bij,bjhw->bihw", blend, colour)
    light = torch.randn(b, 1, 1, 1, device=device) * 0.06 * shake
    return (colour + light * alpha).clamp(min=0).minimum(alpha)


def _quantise(frames: Tensor, step: Tensor) -> Tensor:
    """Rounds the cosine coefficients of 8 x 8 blocks, high frequencies more, as JPEG and H.264 do."""
    b = len(frames)
    k = torch.arange(8, device=frames.device, dtype=torch.float32)
    cosines = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) / 2
    cosines[0] *= math.sqrt(0.5)
    blocks = frames.view(b, 3, SIZE_PX // 8, 8, SIZE_PX // 8, 8).transpose(3, 4)
    coefficients = cosines @ blocks @ cosines.T
    coarse = step * (1 + (k[:, None] + k) * 0.5)
    blocks = cosines.T @ (torch.round(coefficients / coarse) * coarse) @ cosines
    return blocks.transpose(3, 4).reshape(b, 3, SIZE_PX, SIZE_PX)

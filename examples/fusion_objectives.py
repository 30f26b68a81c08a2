"""Loss functions of the training and metrics of the results. The tests recompute their formulas in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.07


def info_nce(left: Tensor, right: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE, both ways: -1/2n sum_i [log softmax_j(l_i.r_j / t)_i + log softmax_j(l_j.r_i / t)_i], unit vectors [n, F].

    Source: van den Oord et al. 2018; symmetric as in CLIP (Radford et al. 2021).
    """
    scores = left @ right.T / temperature
    wanted = torch.arange(len(left), device=left.device)
    return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2


def masked_error(predicted: Tensor, wanted: Tensor, masked: Tensor) -> Tensor:
    """Masked modelling: mean over masked ticks of 1 - cosine(predicted, wanted). [B, T, D], [B, T, D], bool [B, T]."""
    error = 1 - F.cosine_similarity(predicted, wanted, dim=-1)
    return (error * masked).sum() / masked.sum().clamp(min=1)


def recall_at(queries: np.ndarray, found: np.ndarray, k: int) -> float:
    """Share of queries [n, F] whose own vector in `found` [n, F] is among the k with the highest inner product.

    A tie with the k-th counts as a miss.
    """
    scores = queries @ found.T
    own = np.diagonal(scores)[:, None]
    return float(((scores >= own).sum(1) <= k).mean())


def confusion(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix int64 [classes, classes]: rows are the true classes, columns the predicted ones."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truth, answer), 1)
    return table


def macro_f1(table: np.ndarray) -> float:
    """Mean over classes of 2 tp / (2 tp + fp + fn). A class that neither occurs nor is predicted counts as 0."""
    right = np.diagonal(table).astype(float)
    return float((2 * right / np.maximum(table.sum(0) + table.sum(1), 1)).mean())


def draw_confusion(table: np.ndarray, names: list[str], file: Path, cell: int = 48) -> None:
    """Writes a confusion matrix as a PNG. The darker a cell, the larger its share of the row."""
    margin = 90
    size = margin + cell * len(names)
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    for row, name in enumerate(names):
        draw.text((4, margin + row * cell + cell // 3), name, fill="black")
        draw.text((margin + row * cell + 2, margin - 16 - 14 * (row % 2)), name, fill="black")
        for column in range(len(names)):
            shade = int(255 * (1 - shares[row, column]))
            x, y = margin + column * cell, margin + row * cell
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill=(shade, shade, 255))
            draw.text((x + 6, y + cell // 3), str(table[row, column]), fill="black" if shade > 120 else "white")
    image.save(file)

"""Every formula in the fusion example's docstrings is what its code computes: here it is computed again in NumPy."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import erf, expit

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
T, D, A, E, H, F, ROWS = 4, 8, 5, 6, 8, 12, 7


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    torch.set_num_threads(1)
    torch.manual_seed(0)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def linear(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ numbers(layer.weight).T + numbers(layer.bias)


def mlp(layers: Any, x: np.ndarray) -> np.ndarray:
    return linear(layers[-1], gelu(linear(layers[0], x)))


def norm(layer: Any, x: np.ndarray) -> np.ndarray:
    spread = np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return (x - x.mean(-1, keepdims=True)) / spread * numbers(layer.weight) + numbers(layer.bias)


class Case:
    """Tokens of `ROWS` windows, of which some do not count, and a fusion of one kind."""

    def __init__(self, kind: str):
        models = module("fusion_models")
        self.fusion = models.KINDS[kind](models.Sizes(T, D, A, E, hidden=H, fused=F)).eval()
        rng = np.random.default_rng(1)
        self.mask = rng.random((ROWS, 2 * T + 1)) < 0.6
        self.mask[0] = True
        self.tokens = rng.normal(size=(ROWS, 2 * T + 1, H)) * self.mask[..., None]
        parts = np.split(np.arange(2 * T + 1), [T, 2 * T])
        self.counts = np.stack([self.mask[:, part].any(1) for part in parts], 1)
        sums = [self.tokens[:, part].sum(1) for part in parts]
        self.f, self.a, self.t = (
            total / np.maximum(self.mask[:, part].sum(1), 1)[:, None] for total, part in zip(sums, parts, strict=True)
        )

    def found(self) -> np.ndarray:
        tokens = torch.from_numpy(self.tokens.astype(np.float32))
        fused = self.fusion.fuse(tokens, torch.from_numpy(self.mask), torch.from_numpy(self.counts))
        return numbers(fused)


def test_tokens_are_their_formulas() -> None:
    models = module("fusion_models")
    encoders = models.Encoders(models.Sizes(T, D, A, E, hidden=H)).eval()
    rng = np.random.default_rng(2)
    encoders.audio_mean.copy_(torch.from_numpy(rng.normal(size=A)))
    encoders.audio_std.copy_(torch.from_numpy(rng.uniform(1, 2, A)))
    frame, audio, text = (rng.normal(size=shape).astype(np.float32) for shape in ((1, T, D), (1, T, A), (1, E)))
    valid = np.array([[True, True, False, True]])
    place = numbers(encoders.place)

    def tokens(y: np.ndarray, counts: np.ndarray, convolution: Any) -> np.ndarray:
        y = y * counts[..., None]
        around = np.pad(y[0], ((1, 1), (0, 0)))
        weight = numbers(convolution.weight)
        moved = sum(around[step : step + T] @ weight[:, :, step].T for step in range(3)) + numbers(convolution.bias)
        return gelu(y + moved[None]) * counts[..., None]

    standard = (audio - numbers(encoders.audio_mean)) / numbers(encoders.audio_std)
    wanted = np.concatenate(
        [
            tokens(linear(encoders.frame, frame * np.sqrt(D)) + place, valid, encoders.frame_time),
            tokens(linear(encoders.audio, standard) + place, np.ones((1, T)), encoders.audio_time),
            gelu(linear(encoders.text, text * np.sqrt(E)))[:, None],
        ],
        1,
    )
    inputs = (torch.from_numpy(each) for each in (frame, valid, audio, text, np.ones((1, 3), bool)))
    np.testing.assert_allclose(numbers(encoders(*inputs)), wanted, rtol=1e-4, atol=1e-5)


def test_early_fusion_is_its_formula() -> None:
    case = Case("early")
    joined = np.concatenate([case.f, case.a, case.t, case.counts], 1)
    np.testing.assert_allclose(case.found(), mlp(case.fusion.join, joined), rtol=1e-4, atol=1e-5)


def test_intermediate_fusion_and_its_gate_are_their_formula() -> None:
    case = Case("intermediate")
    alone = [
        mlp(layers, mean) * case.counts[:, at, None]
        for at, (layers, mean) in enumerate(zip(case.fusion.alone, (case.f, case.a, case.t), strict=True))
    ]
    gates = np.split(expit(linear(case.fusion.gate, np.concatenate(alone, 1))), 3, 1)
    total = sum(h * gate for h, gate in zip(alone, gates, strict=True))
    np.testing.assert_allclose(case.found(), linear(case.fusion.join, total), rtol=1e-4, atol=1e-5)


def test_late_fusion_is_its_formula() -> None:
    case = Case("late")
    layers = (case.fusion.seen, case.fusion.heard, case.fusion.said)
    parts = [
        unit(mlp(each, mean)) * case.counts[:, at, None]
        for at, (each, mean) in enumerate(zip(layers, (case.f, case.a, case.t), strict=True))
    ]
    np.testing.assert_allclose(case.found(), np.concatenate(parts, 1), rtol=1e-4, atol=1e-5)


def test_attention_is_its_formula() -> None:
    case = Case("attention")
    scores = linear(case.fusion.keys, case.tokens) @ numbers(case.fusion.query) / np.sqrt(H)
    weights = softmax(np.where(case.mask, scores, -np.inf))
    seen = (weights[..., None] * linear(case.fusion.values, case.tokens)).sum(1)
    wanted = mlp(case.fusion.join, np.concatenate([seen, case.f + case.a + case.t], 1))
    np.testing.assert_allclose(case.found(), wanted, rtol=1e-4, atol=1e-5)


def test_memory_is_its_formula() -> None:
    case = Case("memory")
    cell = case.fusion.cell
    memory = np.tanh(linear(case.fusion.start, case.tokens[:, 2 * T]))
    for tick in range(T):
        x = np.concatenate([case.tokens[:, tick], case.tokens[:, T + tick]], 1)
        given = np.split(x @ numbers(cell.weight_ih).T + numbers(cell.bias_ih), 3, 1)
        kept = np.split(memory @ numbers(cell.weight_hh).T + numbers(cell.bias_hh), 3, 1)
        reset, update = expit(given[0] + kept[0]), expit(given[1] + kept[1])
        memory = (1 - update) * np.tanh(given[2] + reset * kept[2]) + update * memory
    wanted = mlp(case.fusion.join, np.concatenate([memory, case.f + case.a + case.t], 1))
    np.testing.assert_allclose(case.found(), wanted, rtol=1e-4, atol=1e-5)


def test_hierarchical_fusion_is_its_formula() -> None:
    case = Case("hierarchical")
    pairs = [
        mlp(case.fusion.pair, np.concatenate(pair, 1))
        for pair in ((case.f, case.a), (case.f, case.t), (case.a, case.t))
    ]
    wanted = mlp(case.fusion.join, np.concatenate([*pairs, case.counts], 1))
    np.testing.assert_allclose(case.found(), wanted, rtol=1e-4, atol=1e-5)


def test_the_transformer_is_its_formula() -> None:
    case = Case("transformer")
    kinds = numbers(case.fusion.kind)[[0] * T + [1] * T + [2]]
    summary = np.broadcast_to(numbers(case.fusion.summary), (ROWS, 1, H))
    x = np.concatenate([summary, case.tokens + kinds], 1)
    counts = np.concatenate([np.ones((ROWS, 1), bool), case.mask], 1)
    for layer in case.fusion.layers:
        q, k, v = (
            part.reshape(ROWS, -1, 4, H // 4).transpose(0, 2, 1, 3)
            for part in np.split(linear(layer.qkv, norm(layer.before, x)), 3, 2)
        )
        scores = np.where(counts[:, None, None], q @ k.transpose(0, 1, 3, 2) / np.sqrt(H // 4), -np.inf)
        heads = (softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(ROWS, -1, H)
        x = x + linear(layer.out, heads)
        x = x + mlp(layer.deep, norm(layer.after, x))
    wanted = linear(case.fusion.join, np.concatenate([x[:, 0], case.f + case.a + case.t], 1))
    np.testing.assert_allclose(case.found(), wanted, rtol=1e-4, atol=1e-5)


def test_info_nce_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    left, right = (unit(rng.normal(size=(7, 5)).astype(np.float32)) for _ in range(2))
    scores = left @ right.T / 0.07
    wanted = -(np.log(np.diagonal(softmax(scores))).sum() + np.log(np.diagonal(softmax(scores.T))).sum()) / (2 * 7)
    found = module("fusion_objectives").info_nce(torch.from_numpy(left), torch.from_numpy(right))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_masked_error_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    predicted, wanted = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
    masked = rng.random((3, 4)) < 0.5
    cosine = (predicted * wanted).sum(-1) / np.linalg.norm(predicted, axis=-1) / np.linalg.norm(wanted, axis=-1)
    found = module("fusion_objectives").masked_error(*map(torch.from_numpy, (predicted, wanted, masked)))
    assert float(found) == pytest.approx((1 - cosine)[masked].mean(), rel=1e-5)


def test_measures_are_plain_loops() -> None:
    objectives = module("fusion_objectives")
    rng = np.random.default_rng(2)
    queries, found = (unit(rng.normal(size=(30, 4))) for _ in range(2))
    for k in (1, 5):
        hits = sum(row in np.argsort(-(found @ queries[row]))[:k] for row in range(30))
        assert objectives.recall_at(queries, found, k) == hits / 30
    assert objectives.recall_at(np.ones((5, 2)), np.ones((5, 2)), 1) == 0, "a constant answer finds nothing"
    truth, answer = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    table = objectives.confusion(truth, answer, 4)
    scores = []
    for label in range(4):
        tp = ((truth == label) & (answer == label)).sum()
        precision, recall = tp / (answer == label).sum(), tp / (truth == label).sum()
        scores.append(2 * precision * recall / (precision + recall))
    assert objectives.macro_f1(table) == pytest.approx(np.mean(scores))

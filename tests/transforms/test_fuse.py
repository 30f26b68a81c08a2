"""A fused embedding is what its formula says, whatever a window lacks."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from reelbeam.models.audio import FEATURES
from reelbeam.models.fusion import TIMBRE, FusionSpec
from reelbeam.models.profiles import PROFILES
from reelbeam.schemas.errors import MissingWeights, UsageError
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.tensors import tensor, tensor_array
from reelbeam.transforms.fusers import TEMPERATURE, Windows, fuse, fused, fuser_of

T, D, E = 4, 6, 5
PATTERNS = list(itertools.product([False, True], repeat=3))
"""Which of frames, sound, words a window has: every way."""


def made(seed: int) -> Windows:
    """One window of each pattern; the words in CLIP's space are there where words are."""
    rng = np.random.default_rng(seed)
    rows = len(PATTERNS)
    has = np.array(PATTERNS)
    some = rng.random((rows, T)) < 0.6
    some[:, 0] = True

    def normal(*shape: int) -> np.ndarray:
        values = rng.normal(size=shape).astype(np.float32)
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    shown, heard = some & has[:, :1], some[:, ::-1] & has[:, 1:2]
    return Windows(
        normal(rows, T, D) * shown[..., None],
        shown,
        rng.normal(size=(rows, T, len(FEATURES))).astype(np.float32) * heard[..., None],
        heard,
        normal(rows, E) * has[:, 2:],
        normal(rows, D) * has[:, 2:],
    )


def one_by_one(windows: Windows, spec: FusionSpec) -> np.ndarray:
    """The formulas as a plain loop over windows and ticks."""
    rows = []
    for at in range(len(windows.frames)):
        shown = [windows.frames[at, tick] for tick in range(T) if windows.frame_valid[at, tick]]
        heard = [windows.sound[at, tick][TIMBRE] for tick in range(T) if windows.sound_valid[at, tick]]
        p = sum(shown) / np.linalg.norm(sum(shown)) if shown else np.zeros(D)
        a = sum(heard) / np.linalg.norm(sum(heard)) if heard else np.zeros(len(TIMBRE))
        if spec.how == "concat":
            blocks = [(spec.frame_weight, p), (spec.text_weight, windows.text[at]), (spec.sound_weight, a)]
            v = np.concatenate([weight**0.5 * block for weight, block in blocks])
        elif spec.how == "mean":
            v = spec.frame_weight * p + spec.text_weight * windows.spoken[at]
        else:
            q = windows.spoken[at] if windows.spoken[at].any() else p
            shares = [np.exp(float(frame @ q) / TEMPERATURE) for frame in shown]
            v = sum((share * frame for share, frame in zip(shares, shown, strict=True)), np.zeros(D))
        rows.append(v / np.linalg.norm(v) if np.any(v) else v)
    return np.array(rows)


@pytest.mark.parametrize("how", ["concat", "mean", "attention"])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 0.25), (2.0, 0.5, 0.0)])
def test_every_fusion_is_its_formula_for_every_pattern_of_missing_modalities(
    how: str, weights: tuple[float, ...]
) -> None:
    spec = FusionSpec(how, *weights)
    windows = made(3)
    assert np.allclose(fuse(windows, spec), one_by_one(windows, spec), atol=1e-5)


def test_a_missing_modality_neither_helps_nor_hurts() -> None:
    spec = FusionSpec("concat", 1.0, 2.0, 0.5)
    one, two = made(4), made(5)
    left, right = fuse(one, spec), fuse(two, spec)
    weights = np.array([1.0, 0.5, 2.0])  # of frames, sound, text, as in PATTERNS
    alone = [
        fuse(each, FusionSpec("concat", *(float(m == on) for m in range(3)))) for each in (one, two) for on in range(3)
    ]
    cosines = {name: (alone[place], alone[place + 3]) for name, place in (("frame", 0), ("text", 1), ("sound", 2))}
    for i, j in itertools.product(range(len(PATTERNS)), repeat=2):
        both = np.array(PATTERNS[i]) & np.array(PATTERNS[j])
        shared = [cosines[name][0][i] @ cosines[name][1][j] for name in ("frame", "sound", "text")]
        total = np.sqrt((weights * PATTERNS[i]).sum() * (weights * PATTERNS[j]).sum())
        expected = (weights * both * shared).sum() / total if total else 0.0
        assert left[i] @ right[j] == pytest.approx(expected, abs=1e-5)


class Mixer(torch.nn.Module):
    """A fusion as somebody would train it."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.frames = torch.nn.Linear(D, dimension)

    def forward(
        self,
        frames: torch.Tensor,
        frame_valid: torch.Tensor,
        sound: torch.Tensor,
        text: torch.Tensor,
        present: torch.Tensor,
    ) -> torch.Tensor:
        mean = (frames * frame_valid.unsqueeze(-1)).sum(1) + 0 * (sound.sum() + text.sum())
        return self.frames(mean) * present[:, :1]  # of any length: it is scaled


@pytest.fixture
def learned(tmp_path: Path) -> FusionSpec:
    torch.manual_seed(0)
    path = tmp_path / "fusion.pt"
    with pytest.warns(FutureWarning, match="torch.jit"):
        torch.jit.script(Mixer(7)).save(str(path))
    return FusionSpec(str(path))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_learned_fusion_comes_from_its_file(learned: FusionSpec) -> None:
    assert learned.dimension(D, E) == 7
    found = fuser_of(learned, "cpu")(made(6))
    assert found.shape == (len(PATTERNS), 7)
    assert np.allclose(np.linalg.norm(found, axis=1), [float(shown) for shown, _, _ in PATTERNS], atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_learned_fusion_of_other_sizes_is_refused(learned: FusionSpec, tmp_path: Path) -> None:
    module = learned.load("cpu")
    with pytest.raises(UsageError, match="trained on other models"):
        module.fuse(*(np.zeros((1, 2, 99), np.float32),) * 2, *(np.zeros((1, 1), np.float32),) * 3)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no module")
    with pytest.raises(MissingWeights, match="TorchScript"):
        FusionSpec(str(broken)).load("cpu")


def test_a_table_gets_a_vector_a_row_and_null_where_there_is_nothing_to_fuse() -> None:
    profile = PROFILES["offline"]
    shape = profile.row_shape(T)
    table = example_windows(3, 1, shape)
    nothing = tensor_array(np.zeros((3, T), np.uint8))
    for name in ("tick_valid", "tick_sound"):
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), nothing)
    done = fused(table, profile, "cpu")
    assert done.schema.equals(table.schema)
    said = [bool(text) for text in table["text"].to_pylist()]
    assert [row is not None for row in done["fused_embedding"].to_pylist()] == said
    lengths = np.linalg.norm(tensor(done, "fused_embedding").astype(np.float32), axis=1)
    assert lengths == pytest.approx(np.float32(said), abs=1e-2)

"""A joint space of windows and sentences, trained on captions. Used by moment, caption and question retrieval.

The vectors of windows and sentences have one block for each kind of evidence m, so that their inner product is a weighted sum of
cosines, sum_m w_m cos(A_m x_m, B_m q), with w the softmax of trained parameters:

    frames   x = mean frame embedding                  A starts as the identity, B q as CLIP's embedding of the sentence
    motion   x = sum_i (i - mean i) f_i over ticks i    A and B start at random
    words    x = the transcript's embedding            A starts as the identity, B q as the sentence model's embedding
    sound    x = mean and slope of the audio features  A and B start at random

So before training, the space is the concatenation of the two pretrained spaces, and training aligns them.
q is [CLIP's embedding ; the sentence model's embedding] of a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from fusion_objectives import info_nce
from labelled import Split
from task_learning import trained
from torch import Tensor, nn
from torch.nn import functional as F

from reelbeam.models.loaded import loaded
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.transforms.encode_queries import clip_of, text_encoder

BLOCKS = {"frame": ("frames", "motion"), "text": ("words",), "audio": ("sound",)}
"""The blocks of each modality."""
SMALL = 32
"""Dimension of the blocks that start at random."""
KEPT = 0.7
"""Share of input values that dropout keeps in training."""


def features(split: Split, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Inputs of each block for the windows: float32 [n, ...]. `mean` and `std` float32 [A] are those of the audio features."""
    x = split.x
    ticks = torch.arange(x["frame"].size(1), dtype=torch.float32)
    rise = (ticks - ticks.mean())[None, :, None] / ticks.std()
    seen = x["frame"] * x["frame_valid"][..., None]
    heard = (x["audio"] - mean) / std
    return {
        "frames": F.normalize(seen.sum(1), dim=-1),
        "motion": (seen * rise).mean(1) * seen.size(-1) ** 0.5,
        "words": x["text"],
        "sound": torch.cat([heard.mean(1), (heard * rise).mean(1)], 1),
    }


class Sentences:
    """Embeds sentences as q, with the models that made a dataset."""

    def __init__(self, dataset: Dataset):
        self.clip = loaded(clip_of(dataset.snapshot.models["clip"]), "cpu")
        self.words = text_encoder(dataset.snapshot, "cpu")

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """float32 [n, D + E]"""
        both = (self.clip.encode_text(list(sentences)), self.words.encode_query(list(sentences)))
        return torch.cat([torch.from_numpy(each).float() for each in both], 1)


class JointSpace(nn.Module):
    """The maps A and B of each block, and the weights of the blocks. `only` names the modalities to use (empty: all)."""

    def __init__(self, like: dict[str, Tensor], query_size: int, only: str = ""):
        super().__init__()
        self.blocks = [block for modality in (only or "frame+text+audio").split("+") for block in BLOCKS[modality]]
        self.of_window, self.of_query = nn.ModuleDict(), nn.ModuleDict()
        frame_dim = like["frames"].size(1)
        for block in self.blocks:
            size = like[block].size(1)
            aligned = block in ("frames", "words")
            out = size if aligned else SMALL
            self.of_window[block], self.of_query[block] = nn.Linear(size, out), nn.Linear(query_size, out)
            if aligned:
                first = 0 if block == "frames" else frame_dim
                for layer, eye in (
                    (self.of_window[block], torch.eye(size)),
                    (self.of_query[block], torch.eye(query_size)[first : first + size]),
                ):
                    nn.init.zeros_(layer.bias)
                    layer.weight.data.copy_(eye)
        # Random blocks start with small weights.
        start = [0.0 if block in ("frames", "words") else -2.0 for block in self.blocks]
        self.weights = nn.Parameter(torch.tensor(start))

    def windows(self, x: dict[str, Tensor]) -> Tensor:
        """Unit vectors [n, F] of windows, from `features`."""
        return self.joined([self.of_window[block](self.dropped(x[block])) for block in self.blocks])

    def queries(self, q: Tensor) -> Tensor:
        """Unit vectors [n, F] of sentences."""
        return self.joined([self.of_query[block](self.dropped(q)) for block in self.blocks])

    def joined(self, blocks: list[Tensor]) -> Tensor:
        shares = torch.softmax(self.weights, 0).sqrt()
        return torch.cat([share * F.normalize(each, dim=-1) for share, each in zip(shares, blocks, strict=True)], 1)

    def dropped(self, values: Tensor) -> Tensor:
        return F.dropout(values, 1 - KEPT, self.training)


@dataclass(frozen=True)
class Asked:
    """Features of windows, and embeddings of the K sentences for each: float32 [n, K, D + E]."""

    x: dict[str, Tensor]
    q: Tensor

    @property
    def count(self) -> int:
        return len(self.q)


def asked(splits: Sequence[Split], sentences_of: str, encode: Sentences) -> list[Asked]:
    """The splits with their sentences (captions or questions). The first split is the training split."""
    heard = splits[0].x["audio"].flatten(0, 1)
    mean, std = heard.mean(0), heard.std(0).clamp(min=1e-3)
    found = []
    for split in splits:
        texts = split.label(sentences_of)
        lists = [[text] if isinstance(text, str) else [each["text"] for each in text] for text in texts]
        q = encode([sentence for sentences in lists for sentence in sentences])
        found.append(Asked(features(split, mean, std), q.unflatten(0, (len(lists), -1))))
    return found


def train_space(train: Asked, validation: Asked, only: str, seed: int, epochs: int = 40) -> JointSpace:
    """Trains a joint space with InfoNCE between windows and one sentence of each. `epochs` 0 leaves it untrained."""
    torch.manual_seed(seed)

    def loss_of(model: nn.Module, data: Asked, rows: Tensor) -> Tensor:
        assert isinstance(model, JointSpace)
        windows = model.windows({name: values[rows] for name, values in data.x.items()})
        if model.training:
            which = torch.randint(data.q.size(1), (len(rows),))
            return info_nce(windows, model.queries(data.q[rows, which]))
        every = [info_nce(windows, model.queries(data.q[rows, which])) for which in range(data.q.size(1))]
        return torch.stack(every).mean()

    space = JointSpace(train.x, train.q.size(-1), only)
    return trained(space, loss_of, train, validation, epochs=epochs, seed=seed, rate=1e-3)  # type: ignore[return-value]


def placed(train: Asked, validation: Asked, test: Asked, only: str, seed: int, epochs: int) -> tuple[Tensor, Tensor]:
    """Vectors [n, F] of the first sentence of each test window, and of the windows, in a space trained on other videos."""
    space = train_space(train, validation, only, seed, epochs)
    with torch.no_grad():
        return space.queries(test.q[:, 0]), space.windows(test.x)

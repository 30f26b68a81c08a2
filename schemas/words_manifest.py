"""The records of `indexes/<name>/<build>/index.json` of a lexical index: its files, what it holds, how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .index_manifest import CoveredShard

WORDS_KIND = "tantivy"
"""The kind of a lexical index in a snapshot."""


@dataclass(frozen=True)
class WordsFile:
    """One stored file of a lexical index. An update shares files with earlier builds."""

    name: str
    """Its name in tantivy's folder."""
    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class WordsManifest:
    """The content of index.json of a lexical index."""

    kind: str
    """Always tantivy."""
    of: str
    """Always words."""
    why: str
    """Why this build was made."""
    snapshot: int
    """The snapshot that it was built from."""
    rows: int
    """That snapshot's next_row."""
    created_at: str
    """When the build was made, UTC, ISO 8601."""
    tantivy: str
    """Version of tantivy."""
    models: dict[str, Any]
    """Identities of the models that made the texts, by name."""
    fields: tuple[str, ...]
    """Kinds of text that are indexed: speech, title, description; screen and subtitles, where the dataset has them."""
    analyzers: tuple[str, ...]
    """Languages with a stemmer, and the analyzers without one. Each pair of a kind of text and an analyzer is a tantivy field."""
    windows: int
    """Number of documents that are windows."""
    videos: int
    """Number of documents that are titles and descriptions of videos."""
    segments: tuple[WordsFile, ...]
    """tantivy's files, which together open with a bare tantivy."""
    ids: WordsFile
    """Ids of the documents, and of deleted ones that the segments may still contain, as .npz."""
    covers: tuple[CoveredShard, ...] = ()
    """Shards whose words it contains."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each step of the build."""

    @property
    def documents(self) -> int:
        return self.windows + self.videos

    @property
    def size_bytes(self) -> int:
        """Size of all its files but index.json."""
        return sum(file.bytes for file in (*self.segments, self.ids))

    def files(self) -> list[str]:
        """Every stored file that it needs, index.json left out."""
        return [file.path for file in (*self.segments, self.ids)]

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes | str) -> WordsManifest:
        stored: Mapping[str, Any] = json.loads(text)
        return cls(
            **{
                **stored,
                "fields": tuple(stored["fields"]),
                "analyzers": tuple(stored["analyzers"]),
                "segments": tuple(WordsFile(**one) for one in stored["segments"]),
                "ids": WordsFile(**stored["ids"]),
                "covers": tuple(CoveredShard.from_json(one) for one in stored["covers"]),
            }
        )

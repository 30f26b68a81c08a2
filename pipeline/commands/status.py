"""reelbeam status OUTPUT"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from .base import none_left, one_blas_thread

if TYPE_CHECKING:
    from ..dataset import Dataset

HELP = "show what OUTPUT holds"
OPTIONS = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Prints the facts of the current snapshot."""
    one_blas_thread()
    from ...schemas.vector_sources import called_of
    from ..dataset import Dataset

    none_left(rest, "status")
    facts = status_of(Dataset.open(args.output))
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    counts = facts["counts"]
    print(
        f"snapshot {facts['snapshot']} of {facts['created_at']}, models {facts['models']['clip']} and {facts['models']['whisper']}"
    )
    print(
        f"{counts['videos']} videos ({counts['ok']} ok, {counts['partial']} partial, {counts['failed']} failed), "
        f"{counts['media_ms'] / 3_600_000:.3f} h, {counts['windows']} windows, {counts['frames']} frames, {counts['words']} words"
    )
    if facts["frame_coverage"] is not None:
        print(
            f"{facts['frame_coverage']:.1%} of ticks have a frame (--frames {facts['options'].get('frames', 'exact')})"
        )
    print(f"{facts['shards']} shards, {facts['bytes'] / 1e6:.1f} MB, row numbers given: {facts['next_row']}")
    if facts["senses"]:
        print(f"further senses: {', '.join(facts['senses'])}")
    for name, index in facts["indexes"].items():
        print(
            f"index {name}: {index['kind']}, {index['vectors']} {called_of(index['of'])}, from snapshot {index['snapshot']}"
        )
    for failure in facts["failures"]:
        print(f"  {failure['stage']} {failure['kind']}: {failure['uri']}: {failure['message'][:160]}")
    return 0


def status_of(dataset: Dataset) -> dict[str, Any]:
    """What `status` tells: facts of the current snapshot, and the failures that still stand.

    `frame_coverage` is the share of ticks that have a frame, in videos with pictures.
    """
    from ...transforms.frame_choice import frame_coverage

    snapshot = dataset.snapshot
    shown = dataset.newest.select(["video_codec", "duration_ms", "frames"])
    frames, ticks = frame_coverage(shown.to_pylist(), snapshot.grid.tick_hz)
    return {
        "snapshot": snapshot.number,
        "created_at": snapshot.created_at,
        "fingerprint": snapshot.fingerprint,
        "options": snapshot.options,
        "models": {
            name: identity.get("weights", "off" if identity.get("off") else "")
            for name, identity in snapshot.models.items()
        },
        "senses": [sense.name for sense in snapshot.shape.senses],
        "counts": snapshot.counts,
        "frame_coverage": round(frames / ticks, 4) if ticks else None,
        "shards": len(snapshot.shards),
        "bytes": sum(shard.bytes for shard in snapshot.shards),
        "next_row": snapshot.next_row,
        "indexes": {name: dataclasses.asdict(index) for name, index in snapshot.indexes.items()},
        "failures": dataset.standing_failures(),
    }

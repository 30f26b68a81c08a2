"""reelbeam doctor [OUTPUT]"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from typing import Any

from ...schemas.errors import ReelbeamError
from .base import none_left

HELP = "show versions, the ffmpeg build, devices, weights at hand, and whether OUTPUT can be reached: what a bug report needs"
OPTIONS = None

PACKAGES = (
    *("reelbeam", "numpy", "pyarrow", "obstore", "rich", "torch", "torchvision", "torchdata", "faiss-cpu", "open_clip_torch"),
    *("sentence-transformers", "apache-beam", "ffmpeg-python", "openai-whisper", "faster-whisper", "ctranslate2"),
)  # fmt: skip
"""Distributions whose versions decide what a run does. One that is missing belongs to an extra that is not installed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", nargs="?", default="", help="a folder or bucket URL to try")
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Looks, and changes nothing. 0 also where something is missing: the report says what."""
    none_left(rest, "doctor")
    report = {
        "versions": versions(),
        "ffmpeg": ffmpeg_facts(),
        "devices": device_facts(),
        "weights": weights_facts(),
        **({"storage": storage_facts(args.output)} if args.output else {}),
    }
    if args.json:
        print(json.dumps(report, indent=1))
        return 0
    for title, facts in report.items():
        print(f"{title}:")
        for name, value in facts.items():
            print(f"  {name}: {value}")
    return 0


def versions() -> dict[str, str]:
    """Of Python, the system and each package."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def ffmpeg_facts() -> dict[str, Any]:
    """Which ffmpeg is used, and what it lacks."""
    from ...transforms.ffmpeg_build import LEAST_VERSION, ffmpeg_build

    build = ffmpeg_build()
    if not build.path:
        return {"path": "not found; cure: apt-get install ffmpeg"}
    least = ".".join(map(str, LEAST_VERSION))
    return {
        "path": build.path,
        "version": build.version
        + (f" (older than {least}, which is the oldest that is tested)" if build.is_old else ""),
        "ffprobe": build.ffprobe_path or "not found; cure: apt-get install ffmpeg",
        **{f"lacks {kind}": ", ".join(names) for kind, names in build.missing.items()},
    }


def device_facts() -> dict[str, Any]:
    """Cores, memory and GPUs that this process may use."""
    from ...models.devices import cores

    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = {"cores": cores(), "memory_gib": round(memory_bytes / 2**30, 1)}
    if importlib.util.find_spec("torch") is None:
        return {**found, "gpus": "unknown: torch is not installed"}
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {**found, "gpus": ", ".join(names) or "none"}


def weights_facts() -> dict[str, str]:
    """For each profile and model whether its weights lie on this machine. Nothing is downloaded."""
    try:
        from ...models.profiles import MODELS, PROFILES
    except ModuleNotFoundError as error:
        return {"profiles": f"unknown: the package {error.name} is not installed"}
    from ...models.at_hand import weights_at_hand

    found = {}
    for name, profile in PROFILES.items():
        for part in MODELS:
            held = weights_at_hand(getattr(profile, part))
            found[f"{name} {part}"] = f"{held.weights}: {held.note if held.state == 'absent' else 'at hand'}"
    return found


def storage_facts(output: str) -> dict[str, Any]:
    """Whether OUTPUT answers, how fast, and which snapshot is current."""
    from ...schemas import snapshot as snapshots
    from ...schemas.storage import Storage

    started = time.monotonic()
    try:
        current = snapshots.latest(Storage.at(output))
    except (ReelbeamError, OSError) as error:
        return {"output": output, "reached": f"no: {error}"}
    shown = f"{current.number} of {current.created_at}" if current else "none: no dataset there yet"
    return {"output": output, "reached": f"yes, in {1000 * (time.monotonic() - started):.0f} ms", "snapshot": shown}

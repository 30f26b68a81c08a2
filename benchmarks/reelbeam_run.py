"""Runs one `reelbeam` command as its entry point would, and prints where its time went as JSON on the last line.

    python -m benchmarks.reelbeam_run extract VIDEOS OUTPUT --models FILE

The command itself is unchanged; its phases and its waits for models are timed by wrapping the functions that it calls.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from .measure import since_spawn

seconds: dict[str, float] = defaultdict(float)
_lock = threading.Lock()


def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; its wall time is added to `name`."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return call(*args, **kwargs)
        finally:
            with _lock:
                seconds[name] += time.monotonic() - started

    return wrapped


def watch(module: Any, name: str, label: str) -> None:
    """Times a function under the name by which a module calls it."""
    setattr(module, name, timed(label, getattr(module, name)))


def main() -> int:
    """Runs the command in this process."""
    from reelbeam.pipeline import cli

    command = sys.argv[1]
    if command in ("extract", "nightly"):
        from reelbeam.models import profiles
        from reelbeam.pipeline import extract, index, index_queries, job, nightly
        from reelbeam.transforms import embed_frames, embed_text, measure_audio, transcribe

        watch(job, "prepare", "prepare")
        if command == "nightly":
            watch(nightly, "plan", "plan")
            watch(nightly, "update_index", "index")
            watch(index_queries, "loaded", "index_waits_for_models")
        for phase in ("plan", "run", "publish"):
            watch(extract, phase, phase)
        for module in (embed_frames, transcribe, measure_audio, embed_text):
            watch(module, "loaded", "wait_for_models")
        for spec in (profiles.ClipSpec, profiles.WhisperSpec, profiles.TextSpec):
            watch(spec, "load", f"load_{spec.__name__}")
    else:
        from reelbeam.pipeline import index

        watch(index, "loaded", "wait_for_models")
        watch(index, "run_index", "run")
    from reelbeam.transforms import metrics

    seconds["start"] = since_spawn()
    code = cli.main(sys.argv[1:])
    seconds["done"] = since_spawn()
    print(json.dumps({"seconds": seconds, "stages": metrics.totals()}))
    return code


if __name__ == "__main__":
    sys.exit(main())

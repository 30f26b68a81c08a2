"""Shows the progress of a running job: a live line on a terminal, otherwise a log line every PLAIN_EVERY_S seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ...transforms import metrics

log = logging.getLogger("reelbeam")

PLAIN_EVERY_S = 15.0


def describe(totals: dict[str, dict[str, int]], videos: int, media_done_ms: int, seconds: float) -> str:
    """One progress line: videos, hours of media, speed relative to real time, failures, time left.

    >>> describe({"probe": {"videos": 4, "media_ms": 7_200_000}, "decode": {"media_ms": 3_600_000}}, 8, 3_600_000, 360)
    'probed 4 of 8 videos | 1.00 of 2.00 h decoded | 10.0x realtime | 0 failures | about 18 min left'
    """
    probe, decode = totals.get("probe", {}), totals.get("decode", {})
    probed, known_ms = probe.get("videos", 0), probe.get("media_ms", 0)
    failures = probe.get("failed", 0) + decode.get("failed", 0)
    speed = media_done_ms / 1000 / seconds if seconds else 0
    whole_ms = known_ms * videos / probed if probed else 0
    left_s = (whole_ms - media_done_ms) / 1000 / speed if speed else 0
    left = (
        f"about {left_s / 60:.0f} min left"
        if left_s >= 90
        else f"about {max(0, left_s):.0f} s left"
        if speed
        else "starting"
    )
    return (
        f"probed {probed} of {videos} videos | {media_done_ms / 3_600_000:.2f} of {known_ms / 3_600_000:.2f} h decoded | "
        f"{speed:.1f}x realtime | {failures} failures | {left}"
    )


@contextmanager
def run_beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs `work` in a thread while the context is open. The event is set when the context ends."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=[over], daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def show_progress(videos: int, runner: str, local: bool = True) -> Iterator[None]:
    """Shows progress until the context ends. Only for the `local` runner: other runners keep their counters elsewhere."""
    if not local:
        log.info("running on %s: see its own progress display; each published wave is logged here", runner)
        yield
        return
    before = metrics.totals()
    started = time.monotonic()

    def line() -> str:
        now = {
            stage: {name: value - before.get(stage, {}).get(name, 0) for name, value in counters.items()}
            for stage, counters in metrics.totals().items()
        }
        return describe(now, videos, now.get("decode", {}).get("media_ms", 0), time.monotonic() - started)

    def live(over: threading.Event) -> None:
        with Live(Text(""), console=Console(stderr=True), refresh_per_second=2, transient=True) as view:
            while not over.wait(0.5):
                view.update(Text(line()))

    def plain(over: threading.Event) -> None:
        while not over.wait(PLAIN_EVERY_S):
            log.info("%s", line())

    with run_beside(live if sys.stderr.isatty() else plain):
        yield

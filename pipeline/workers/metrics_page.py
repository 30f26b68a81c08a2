"""`--metrics-port`: the counters of this process and of its workers as text that Prometheus reads, while the run lasts.

Every figure comes from one place, `transforms.metrics`: stages of this process count there, workers send theirs there, and
for other engines Beam's counters are added after each wave.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...schemas.errors import UsageError
from ...transforms import metrics
from .log_lines import json_logs

COUNTED = {
    "reelbeam_videos_probed": ("Videos that were opened.", "probe", "videos", 1),
    "reelbeam_videos_committed": ("Videos whose rows are published.", "committed", "videos", 1),
    "reelbeam_windows_committed": ("Rows that are published.", "committed", "windows", 1),
    "reelbeam_media_seconds": ("Seconds of media that were decoded.", "decode", "media_ms", 1000),
    "reelbeam_frames": ("Frames that were embedded.", "embed_frames", "frames", 1),
}
"""Counter -> (help, stage, its counter, what that is divided by)."""

FAILURES, STAGE_SECONDS, QUEUE = "reelbeam_failures", "reelbeam_stage_seconds", "reelbeam_queue_length"
TIMES = {"busy_ms": "busy", "wait_ms": "waited_for"}


def metric_names() -> set[str]:
    """Every name on the page, as Prometheus stores it."""
    return {f"{name}_total" for name in (*COUNTED, FAILURES, STAGE_SECONDS)} | {QUEUE}


class Stages:
    """What prometheus_client asks at each request."""

    def collect(self) -> Iterator[object]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        totals = metrics.totals()
        for name, (told, stage, counter, unit) in COUNTED.items():
            yield CounterMetricFamily(name, told, value=totals.get(stage, {}).get(counter, 0) / unit)
        failures = CounterMetricFamily(FAILURES, "Failures in published waves, by kind.", labels=["kind"])
        for kind, count in sorted(totals.get("failures", {}).items()):
            failures.add_metric([kind], count)
        yield failures
        seconds = CounterMetricFamily(
            STAGE_SECONDS, "Seconds of each stage, over all threads.", labels=["stage", "what"]
        )
        for stage, counters in sorted(totals.items()):
            for counter, what in TIMES.items():
                if counter in counters:
                    seconds.add_metric([stage, what], counters[counter] / 1000)
        yield seconds
        queues = GaugeMetricFamily(QUEUE, "Waves that wait, and workers that are busy.", labels=["queue"])
        for name, length in sorted(metrics.lengths().items()):
            queues.add_metric([name], length)
        yield queues


@contextmanager
def watched(port: int, as_json: bool) -> Iterator[None]:
    """Serves the page on a port (0: not at all) and writes logs as JSON if asked, while the context is open.

    Raises UsageError for a port that is taken.
    """
    with json_logs(as_json):
        if not port:
            yield
            return
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        registry.register(Stages())  # type: ignore[arg-type]
        try:
            server, thread = start_http_server(port, registry=registry)
        except OSError as error:
            raise UsageError(f"--metrics-port {port}: {error.strerror}; cure: give a free port") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

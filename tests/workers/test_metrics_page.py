"""--metrics-port and --log-json: what others read of a run while it lasts."""

from __future__ import annotations

import json
import logging
import re
import socket
import urllib.request

import pytest
from conftest import REPOSITORY

from reelbeam.pipeline.workers import watched
from reelbeam.pipeline.workers.log_lines import JsonLines, json_logs
from reelbeam.pipeline.workers.metrics_page import metric_names
from reelbeam.schemas.errors import UsageError
from reelbeam.transforms import metrics

pytest.importorskip(
    "prometheus_client", reason="prometheus_client is not installed; cure: pip install 'reelbeam[extract]'"
)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("", 0))
        return int(held.getsockname()[1])


def read(port: int) -> dict[str, float]:
    """The figures of the page, by name with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_stages_and_workers_count_is_on_the_page() -> None:
    port = free_port()
    with watched(port, False):
        before = read(port)
        metrics.add_totals({"decode": {"media_ms": 2500, "busy_ms": 700}, "failures": {"killed": 2}})
        metrics.set_length("waves_waiting", 5)
        now = read(port)
    assert now["reelbeam_media_seconds_total"] - before["reelbeam_media_seconds_total"] == pytest.approx(2.5)
    assert now['reelbeam_failures_total{kind="killed"}'] - before.get('reelbeam_failures_total{kind="killed"}', 0) == 2
    assert now['reelbeam_queue_length{queue="waves_waiting"}'] == 5
    assert now['reelbeam_stage_seconds_total{stage="decode",what="busy"}'] >= 0.7
    assert {name.partition("{")[0] for name in now} == metric_names()
    with pytest.raises(OSError, match="refused"):
        read(port)


def test_a_port_that_is_taken_is_a_usage_error() -> None:
    with socket.socket() as held:
        held.bind(("", 0))
        held.listen()
        with pytest.raises(UsageError, match="give a free port"), watched(held.getsockname()[1], False):
            pass


def test_the_dashboard_asks_only_for_what_the_page_has() -> None:
    board = json.loads((REPOSITORY / "deploy" / "grafana.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for one in panel["targets"]
        for name in re.findall(r"reelbeam_\w+", one["expr"])
    }
    assert asked == metric_names()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_log_lines_are_json_while_they_are_asked_for() -> None:
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with json_logs(True):
            assert isinstance(handler.formatter, JsonLines)
        assert handler.formatter is None
    finally:
        logging.getLogger().removeHandler(handler)
    record = logging.makeLogRecord({"name": "reelbeam", "msg": "a\nline: ü", "levelname": "INFO", "worker": 2})
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "a\nline: ü"
    assert json.loads(line)["worker"] == 2

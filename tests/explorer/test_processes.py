"""Several server processes answer as one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from browser import served
from nights import World
from prometheus_client.parser import text_string_to_metric_families

from reelbeam.pipeline.answers import Client

pytestmark = pytest.mark.slow


def processes(wanted: Callable[[int, bytes], bool]) -> list[int]:
    """Running processes by their parent and their command line."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (one / "stat").read_text(), (one / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted(int(stat.rpartition(")")[2].split()[1]), command):
            found.append(int(one.name))
    return sorted(found)


def children(server: int) -> list[int]:
    """The server processes that a server has started."""
    return processes(lambda parent, command: parent == server and b"spawn_main" in command)


def counted(address: str, name: str) -> float:
    """A figure as the server tells it."""
    with urlopen(f"{address}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
    return next(one.value for kind in families for one in kind.samples if one.name == name)


def test_two_processes_count_as_one_and_a_killed_one_is_replaced(first_world: World) -> None:
    with served(first_world.output, "--processes", "2") as address:
        ask = Client(address)
        answers = [ask.search("a farm", k=3, search_in="frames") for _ in range(40)]
        assert all(answer.moments == answers[0].moments for answer in answers)
        until = time.monotonic() + 30
        while (searches := counted(address, "reelbeam_explorer_searches_total")) < 40:
            assert time.monotonic() < until, (
                searches
            )  # each process takes over its counts once a second, with an answer
            time.sleep(0.05)
        assert searches == 40
        assert counted(address, "reelbeam_explorer_snapshot") == answers[0].snapshot
        [server] = processes(lambda _, command: b"explore" in command and str(first_world.output).encode() in command)
        before = children(server)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + 60
        while (now := children(server)) == before or len(now) < 2:
            assert time.monotonic() < until
            time.sleep(0.2)
        assert ask.search("a farm", k=3, search_in="frames").moments == answers[0].moments
    assert not children(server)

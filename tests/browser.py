"""What tests in a real browser share: a served dataset, and a page that notes errors and foreign requests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Programs that playwright can drive, in this order."""


@contextmanager
def served(output: Path | str, *options: str) -> Iterator[str]:
    """`reelbeam explore OUTPUT` on a free port of this machine: the address, without the last slash."""
    command = [sys.executable, "-m", "reelbeam.pipeline.cli", "explore", str(output), "--port", "0", "--device", "cpu"]
    command += options
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        yield address.rstrip("/")
    finally:
        server.terminate()
        server.wait(30)
        if server.stdout:
            server.stdout.close()


@dataclass
class Visit:
    """A page of the browser, and what it noted. Addresses are paths of the served dataset."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    """Messages of the console that are errors or warnings, and exceptions of scripts."""
    foreign: list[str] = field(default_factory=list)
    """Addresses of other hosts that were asked for; they are never reached."""
    failed: list[str] = field(default_factory=list)
    """Answers of 400 and more."""
    also: set[str] = field(default_factory=set)
    """Hosts and ports that are reached too."""

    def __post_init__(self) -> None:
        own = urlsplit(self.address).netloc

        def route(request: Route) -> None:
            asked = urlsplit(request.request.url)
            if asked.scheme in ("data", "blob") or asked.netloc in {own, *self.also}:
                request.continue_()
            else:
                self.foreign.append(request.request.url)
                request.abort()

        self.page.route("**/*", route)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda told: self.errors.append(told.text) if told.type in ("error", "warning") else None
        )
        self.page.on(
            "response", lambda got: self.failed.append(f"{got.status} {got.url}") if got.status >= 400 else None
        )

    def open(self, path: str) -> Page:
        """Opens a page and waits until nothing on it is still being computed."""
        self.page.goto(self.address + path)
        self.page.wait_for_selector("main")
        self.page.wait_for_selector("[data-pending]", state="detached", timeout=120_000)
        return self.page

    def until(self, expression: str, longest_s: float = 30) -> None:
        """Waits until an expression is true; playwright's own way needs eval, which the pages' policy forbids."""
        end = time.monotonic() + longest_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not within {longest_s} s: {expression}"
            self.page.wait_for_timeout(50)

    def is_clean(self) -> None:
        """Fails for an error in the console, a failed answer, or a request to another host."""
        assert not self.foreign, "requests to other hosts"
        assert not self.failed, "answers with errors"
        assert not self.errors, "errors in the console"


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium. Skips the test where playwright or Chromium are missing."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed; cure: apt-get install chromium")
    with driver.sync_playwright() as playing:
        # without its sandbox, which needs user namespaces that containers lack: it only sees pages of this test
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        opened = playing.chromium.launch(executable_path=program, args=options)
        try:
            yield opened
        finally:
            opened.close()


def serious_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical on a page, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {[node['target'] for node in one['nodes']][:4]} {one['help']}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]

"""Loads each model once per process, when a stage first needs it, and keeps it for all stages and waves."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from ..schemas.phases import phase
from .devices import pick_device

TURN_S = 0.0005
"""While a model is loaded."""


class Spec(Protocol):
    """A frozen description of a model that can load itself."""

    def load(self, device: str) -> Any: ...


_models: dict[tuple[Spec, str], Any] = {}
_lock = threading.Lock()


def loaded(spec: Spec, device: str) -> Any:
    """The model of a spec on a device. Loads it on the first call in this process."""
    with phase("wait_for_models"):
        return _loaded(spec, device)


def _loaded(spec: Spec, device: str) -> Any:
    device = pick_device(device)
    with _lock:
        if (spec, device) not in _models:
            with phase(f"load_{type(spec).__name__}"), _short_turns():
                _models[spec, device] = spec.load(device)
        return _models[spec, device]


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    """Threads take turns ten times as often as usual: importing torch would hold up those that probe videos and feed decoders."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def preload(spec: Spec, device: str) -> None:
    """Starts loading a model in the background, while the first decoders run. Errors are raised by `loaded`."""

    def load() -> None:
        with contextlib.suppress(Exception):  # `loaded` raises the same error in the stage that needs the model
            _loaded(spec, device)

    threading.Thread(target=load, name="preload", daemon=True).start()

"""Each model is loaded once a process, by the first stage that asks, and kept for all waves and all stages."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Protocol

from ..schemas.phases import phase
from .devices import pick_device


class Spec(Protocol):
    """A frozen description of a model that can load itself."""

    def load(self, device: str) -> Any: ...


_models: dict[tuple[Spec, str], Any] = {}
_lock = threading.Lock()


def loaded(spec: Spec, device: str) -> Any:
    """The model of a spec on a device, from this process's memory if it is there."""
    with phase("wait_for_models"):
        return _loaded(spec, device)


def _loaded(spec: Spec, device: str) -> Any:
    device = pick_device(device)
    with _lock:
        if (spec, device) not in _models:
            with phase(f"load_{type(spec).__name__}"):
                _models[spec, device] = spec.load(device)
        return _models[spec, device]


def preload(spec: Spec, device: str) -> None:
    """Starts loading in the background: the first decoders are at work meanwhile. Errors surface in `loaded`."""

    def load() -> None:
        with contextlib.suppress(Exception):  # the stage that needs the model meets the same error, on its own thread
            _loaded(spec, device)

    threading.Thread(target=load, name="preload", daemon=True).start()

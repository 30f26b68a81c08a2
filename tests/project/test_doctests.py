"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted(
    "reelbeam." + ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
    for folder in ("schemas", "models", "transforms", "pipeline")
    for file in (REPOSITORY / folder).rglob("*.py")
    if ">>>" in file.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed

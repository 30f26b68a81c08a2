"""Options as documented dataclass fields: one field makes one flag, one help line and one row of the reference page."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import Field, dataclass
from typing import Any, Self, TypeVar

from .errors import UsageError

UNRECORDED = {"shots": "scene", "frames": "exact"}
"""Values that are left out of data options: the behaviour before the option existed. So older fingerprints stay valid."""


@dataclass(frozen=True)
class Doc:
    """Documentation and limits of an option, besides its name, type and default."""

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    changes_data: bool = False
    """Whether it is part of the fingerprint: runs with different values store different rows."""
    flag: str = ""
    """The flag, if it is not derived from the field's name."""


def option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    changes_data: bool = False,
    flag: str = "",
) -> Any:
    """A dataclass field with its documentation and limits."""
    return dataclasses.field(default=default, metadata={"doc": Doc(text, low, high, choices, changes_data, flag)})


def documented(options: Any) -> Iterator[tuple[Field[Any], Doc]]:
    """Each documented field of an options class or object, in order."""
    for declared in dataclasses.fields(options):
        if "doc" in declared.metadata:
            yield declared, declared.metadata["doc"]


def flag(name: str) -> str:
    """
    >>> flag("tick_hz"), flag("k")
    ('--tick-hz', '-k')
    """
    return "-" * min(2, len(name)) + name.replace("_", "-")


def check(options: Any) -> None:
    """Raises UsageError with the flag, the value and the allowed values. Call it from `__post_init__`."""
    for declared, doc in documented(options):
        value = getattr(options, declared.name)
        if doc.choices and value not in doc.choices:
            raise UsageError(f"{doc.flag or flag(declared.name)} {value}: choose one of {', '.join(doc.choices)}")
        too_low = doc.low is not None and value < doc.low
        too_high = doc.high is not None and value > doc.high
        if too_low or too_high:
            low = "any" if doc.low is None else f"{doc.low:g}"
            high = "any" if doc.high is None else f"{doc.high:g}"
            raise UsageError(f"{flag(declared.name)} {value}: allowed is {low} to {high}")


def data_options(options: Any) -> dict[str, str]:
    """The options that change stored data, as text: a snapshot records them and the fingerprint covers them.

    Empty values and those of UNRECORDED are left out: a new option changes no old snapshot and no fingerprint.
    """
    found = {
        declared.name: str(getattr(options, declared.name)) for declared, doc in documented(options) if doc.changes_data
    }
    return {name: value for name, value in found.items() if value and UNRECORDED.get(name) != value}


def fingerprint(facts: dict[str, Any]) -> str:
    """A short hash of options and model identities. Keys are sorted and empty values dropped, so that adding an
    option whose default changes nothing keeps every old fingerprint.

    >>> fingerprint({"a": 1, "b": None}) == fingerprint({"a": 1})
    True
    """
    kept = {key: value for key, value in facts.items() if value not in (None, "", [], {})}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


Part = TypeVar("Part", bound="Options")


@dataclass(frozen=True)
class Options:
    """Options of a command, checked at construction."""

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        """Adds one flag per field to a parser."""
        for declared, doc in documented(cls):
            name = doc.flag or flag(declared.name)
            shown = f"{doc.text} (default: {'none' if declared.default in ('', None) else declared.default})"
            if declared.default is False:
                parser.add_argument(name, dest=declared.name, action="store_true", help=doc.text)
            else:
                parser.add_argument(
                    name,
                    dest=declared.name,
                    type=type(declared.default),
                    default=declared.default,
                    help=shown,
                    choices=doc.choices or None,
                    metavar=None if doc.choices else type(declared.default).__name__.upper(),
                )

    def part(self, kind: type[Part]) -> Part:
        """The subset of options that belongs to `kind`, one of the option classes that this one is composed of."""
        return kind(**{declared.name: getattr(self, declared.name) for declared, _ in documented(kind)})

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        return cls(**{declared.name: getattr(args, declared.name) for declared, _ in documented(cls)})

"""Which further senses are on, and what a declaration must be before any work starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from reelbeam.models import sense_registry
from reelbeam.models.profiles import PROFILES
from reelbeam.models.sense_registry import chosen_names, known_senses, with_senses
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.senses import Column, Sense
from reelbeam.schemas.tables import RowShape, windows_schema

OFFLINE = PROFILES["offline"]


def sense(name: str = "mine", version: int = 1, columns: tuple[Column, ...] = (Column("mine", "", "int32"),)) -> Sense:
    @dataclass(frozen=True)
    class Made(Sense):
        def columns(self) -> tuple[Column, ...]:
            return columns

    Made.name, Made.version = name, version
    return Made()


def use(monkeypatch: pytest.MonkeyPatch, *senses: Sense) -> None:
    monkeypatch.setattr(sense_registry, "known_senses", lambda: {one.name: one for one in senses})


def test_a_profile_with_a_sense_names_it_in_identity_and_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, sense())
    profile = with_senses(OFFLINE, ["mine"])
    assert profile.identities()["mine"] == {"sense": "mine", "version": 1}
    shape = profile.row_shape(10)
    assert windows_schema(shape).names[-2:] == ["mine", "mine_status"]
    assert RowShape.from_json(shape.to_json()) == shape


def test_without_further_senses_nothing_is_stored_otherwise() -> None:
    assert "senses" not in OFFLINE.row_shape(10).to_json()
    assert with_senses(OFFLINE, []) is OFFLINE


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (sense(name="Mine"), "lower case"),
        (sense(name="clip"), "lower case"),
        (sense(name="frame"), "lower case"),
        (sense(version=0), "has no identity"),
        (sense(columns=(Column("uri", "", "string"),)), "column uri is a column of Reelbeam already"),
        (sense(columns=(Column("a", "", "int32"), Column("a", "", "int32"))), "column a is a column of the sense mine"),
        (sense(columns=(Column("a", "", "complex"),)), "is of type 'complex'"),
        (sense(columns=(Column("a", "", "text_embedding", embeds="b"),)), "embeds b, which is not one of its columns"),
    ],
)
def test_a_declaration_that_cannot_be_stored_is_refused(
    made: Sense, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, made)
    with pytest.raises(UsageError, match=reason):
        with_senses(OFFLINE, [made.name])


def test_columns_of_two_senses_that_collide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, sense("one"), sense("two"))
    with pytest.raises(UsageError, match="the sense two: its column mine is a column of the sense one already"):
        with_senses(OFFLINE, ["one", "two"])


def test_an_identity_of_other_than_plain_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Odd(Sense):
        name = "odd"
        version = 1
        setting: Any = field(default=frozenset({1}))

        def columns(self) -> tuple[Column, ...]:
            return ()

    use(monkeypatch, Odd())
    with pytest.raises(UsageError, match="plain JSON values"):
        with_senses(OFFLINE, ["odd"])


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("a,+b", "not both"),
        ("+clip", "always on"),
        ("-c", "c is not on; on are: a, b"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(asked: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        chosen_names(asked, ["a", "b"])


def test_an_unknown_sense_is_refused_with_those_at_hand() -> None:
    with pytest.raises(UsageError, match=r"the sense nothing is not at hand; at hand are: .*Cure: install the package"):
        with_senses(OFFLINE, ["nothing"])
    assert "nothing" not in known_senses()

"""Tasks of a pool of workers: which are tried next, and what becomes of one whose worker died."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

Item = TypeVar("Item")

TRIES = 2
"""How often a whole piece is tried before its worker's death is the fault of something in it."""

TRIES_ALONE = 3
"""How often an item that is alone is tried before the death is its own fault. Whoever kills workers at random may hit it, too."""


@dataclass(frozen=True)
class Task(Generic[Item]):
    """Some items of one piece."""

    piece: int
    at: int
    """Position of its first item in the piece: results are put in this order."""
    items: Sequence[Item]
    deaths: int = 0
    whole: bool = True
    given_up: bool = False

    def after_death(self, why: str, lost: Callable[[Item, str], Item]) -> list[Task[Item]]:
        """What to try now that its worker died: the same again, its halves, or the one item as a lost one.

        >>> task = Task(0, 0, ["a", "b", "c"])
        >>> [again] = task.after_death("signal 9", lambda item, why: item.upper()); again.items
        ['a', 'b', 'c']
        >>> halves = again.after_death("signal 9", lambda item, why: item.upper()); [half.items for half in halves]
        [['a'], ['b', 'c']]
        >>> [once] = halves[0].after_death("signal 9", lambda item, why: item.upper()); once.items
        ['a']
        >>> [twice] = once.after_death("signal 9", lambda item, why: item.upper())
        >>> [alone] = twice.after_death("signal 9", lambda item, why: item.upper()); alone.items, alone.given_up
        (['A'], True)
        """
        deaths, count = self.deaths + 1, len(self.items)
        if deaths < (TRIES_ALONE if count == 1 else TRIES if self.whole else 1):
            return [replace(self, deaths=deaths)]
        if count == 1:
            return [replace(self, items=[lost(self.items[0], why)], deaths=0, given_up=True)]
        half = count // 2
        parts = ((self.at, self.items[:half]), (self.at + half, self.items[half:]))
        return [Task(self.piece, at, items, whole=False) for at, items in parts]


@dataclass
class Waiting(Generic[Item]):
    """Tasks that no worker is at: those to try again first, then pieces, each taken out of `pieces` when its turn comes."""

    pieces: Sequence[Sequence[Item]]
    again: deque[Task[Item]] = field(default_factory=deque)
    taken: int = 0

    def __len__(self) -> int:
        return len(self.again) + len(self.pieces) - self.taken

    def next(self, until: int) -> Task[Item] | None:
        """The next task, if its piece comes before `until`."""
        if self.again:
            return self.again.popleft()
        if self.taken >= min(until, len(self.pieces)):
            return None
        self.taken += 1
        return Task(self.taken - 1, 0, self.pieces[self.taken - 1])

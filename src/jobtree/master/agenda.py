"""Things in the order of their urgency, which changes while one goes through them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Agenda(Generic[T]):
    """Each thing once, sorted by its key; equals in the order in which they came. A change costs a search and a small move."""

    def __init__(self) -> None:
        self._entries: list[tuple[Any, int, T]] = []
        self._filed: dict[T, tuple[Any, int, T]] = {}
        self._next = 0

    def __iter__(self) -> Iterator[T]:
        return iter(self._filed)

    def __len__(self) -> int:
        return len(self._filed)

    def file(self, thing: T, key: Any) -> None:
        """Put a thing in its place."""
        entry = self._filed.get(thing)
        if entry is not None:
            if entry[0] == key:
                return
            self._remove(entry)
        self._next += 1
        entry = self._filed[thing] = (key, self._next, thing)
        insort(self._entries, entry)

    def drop(self, thing: T) -> None:
        """Forget a thing."""
        self._remove(self._filed.pop(thing))

    def walk(self) -> Iterator[tuple[T, Any]]:
        """All things with their keys, in order; what is filed meanwhile is met if its place is still ahead."""
        place = 0
        while place < len(self._entries):
            entry = key, number, thing = self._entries[place]
            yield thing, key
            if place < len(self._entries) and self._entries[place] is entry:
                place += 1
            else:  # something was moved, this one perhaps
                place = bisect_left(self._entries, (key, number + 1))

    def _remove(self, entry: tuple[Any, int, T]) -> None:
        del self._entries[bisect_left(self._entries, entry[:2])]

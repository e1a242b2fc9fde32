"""The runs of waiting targets, found by the id of any of their targets."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator

from .nodes import Run, Source


class Runs:
    """All runs that are not used up; targets leave a run from its front."""

    def __init__(self) -> None:
        self._keys: list[int] = []  # sorted: the first id of each run as it was when it was added
        self._runs: dict[int, Run] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def add(self, run: Run) -> None:
        """Take in a run."""
        insort(self._keys, run.first)
        self._runs[run.first] = run

    def find(self, target: int) -> Run | None:
        """The run in which a target waits, if it does."""
        place = bisect_right(self._keys, target) - 1
        if place < 0:
            return None
        run = self._runs[self._keys[place]]
        return run if run.first <= target < run.first + run.count else None

    def shrink(self, run: Run, count: int) -> None:
        """The first ``count`` targets of a run have left it."""
        place = bisect_right(self._keys, run.first) - 1
        key = self._keys[place]
        run.first += count
        run.first_n += count
        run.index += count
        run.count -= count
        if not run.count:
            del self._runs[key]
            del self._keys[place]

    def split(self, run: Run, target: int) -> Run | None:
        """Make ``target`` the first of a run; the new run that this takes, or None if it was the first already."""
        skip = target - run.first
        if not skip:
            return None
        source = Source(run.record, run.index + skip)
        rest = Run(
            run.parent, run.creator, run.form, target, run.first_n + skip, run.count - skip, source, run.mean, run.ready_at
        )
        run.count = skip
        self.add(rest)
        return rest

    def clear(self) -> None:
        """Forget them all."""
        self._keys.clear()
        self._runs.clear()

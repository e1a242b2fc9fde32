"""The runs of waiting targets, found by the id of any of their targets."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator

from .nodes import Run, Source

#: A block of keys is cut in two when it has so many.
BLOCK = 1024


class Runs:
    """All runs that are not used up; targets leave a run from its front.

    The keys (the first id of each run as it was when it was added) lie sorted in blocks, so that no change is a long move.
    """

    def __init__(self) -> None:
        self._blocks: list[list[int]] = [[]]
        self._firsts: list[int] = [0]  # of each block
        self._runs: dict[int, Run] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def add(self, run: Run) -> None:
        """Take in a run."""
        place = self._block_of(run.first)
        block = self._blocks[place]
        insort(block, run.first)
        if len(block) > BLOCK:
            half = len(block) // 2 if block[-1] != run.first else BLOCK  # they mostly come in order
            self._blocks.insert(place + 1, block[half:])
            self._firsts.insert(place + 1, block[half])
            del block[half:]
        self._runs[run.first] = run

    def find(self, target: int) -> Run | None:
        """The run in which a target waits, if it does."""
        key = self._key_of(target)
        if key is None:
            return None
        run = self._runs[key]
        return run if run.first <= target < run.first + run.count else None

    def shrink(self, run: Run, count: int) -> None:
        """The first ``count`` targets of a run have left it."""
        key = self._key_of(run.first)
        assert key is not None, f"no run is known at {run.first}"
        run.first += count
        run.first_n += count
        run.index += count
        run.count -= count
        if not run.count:
            del self._runs[key]
            self._forget(key)

    def _block_of(self, target: int) -> int:
        return max(0, bisect_right(self._firsts, target) - 1)

    def _key_of(self, target: int) -> int | None:
        """The last key that is not above ``target``."""
        place = self._block_of(target)
        block = self._blocks[place]
        at = bisect_right(block, target) - 1
        if at >= 0:
            return block[at]
        return self._blocks[place - 1][-1] if place else None

    def _forget(self, key: int) -> None:
        place = self._block_of(key)
        block = self._blocks[place]
        del block[bisect_right(block, key) - 1]
        if not block and len(self._blocks) > 1:
            del self._blocks[place]
            del self._firsts[place]

    def split(self, run: Run, target: int) -> Run | None:
        """Make ``target`` the first of a run; the new run that this takes, or None if it was the first already."""
        skip = target - run.first
        if not skip:
            return None
        source = Source(run.record, run.index + skip)
        rest = Run(
            run.parent, run.creator, run.form, target, run.first_n + skip, run.count - skip, source, run.mean, run.ready_at
        )
        rest.withdrawn = run.withdrawn
        run.count = skip
        self.add(rest)
        return rest

    def replace(self, run: Run, *, withdrawn: bool) -> Run:
        """Put a new run in the place of ``run``, which is empty from now on: whoever has queued it finds nothing there."""
        source = Source(run.record, run.index)
        fresh = Run(run.parent, run.creator, run.form, run.first, run.first_n, run.count, source, run.mean, run.ready_at)
        fresh.withdrawn = withdrawn
        key = self._key_of(run.first)
        assert key is not None, f"no run is known at {run.first}"
        self._runs[key] = fresh
        run.count = 0
        return fresh

    def remove(self, run: Run) -> None:
        """Forget a run; it is empty from now on."""
        key = self._key_of(run.first)
        assert key is not None, f"no run is known at {run.first}"
        del self._runs[key]
        self._forget(key)
        run.count = 0

    def clear(self) -> None:
        """Forget them all."""
        self._blocks, self._firsts = [[]], [0]
        self._runs.clear()

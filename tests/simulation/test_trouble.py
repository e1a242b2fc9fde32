"""Each operation of a run with the disk fails in turn, in each way, once and for good: whatever it is, nothing is lost.

A run ends as it would have without trouble. On the way the master may pause, and says so; or it ends, with an exit status and one
line of words, and the next one takes up what it has left.
"""

from __future__ import annotations

import errno
from collections import Counter

import pytest

from tests.simulation.cluster import Cluster, Faults, World
from tests.simulation.recipe import Taste
from tests.simulation.trouble import SHORT, Trouble

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
WAYS = (*NO_ROOM, errno.EIO, errno.EROFS, SHORT)
SEGMENT_BYTES = 1500  # so that a small run has some
MENDED_AFTER = 30.0


class Troubled(Cluster):
    """A small run on a disk that has trouble, whose machine may lose power when its master gives up."""

    def __init__(self, trouble: Trouble, power: float = 0.5) -> None:
        taste = Taste(depth=2, breadth=3, follow=0.4, chain=2, takes=0.2, blob=0.2)
        super().__init__(World(5, taste, Faults(power=power, down=0.5), calm_after=500.0, workers=2))
        self.disk.segment_bytes = SEGMENT_BYTES
        self.trouble = trouble
        trouble.visit(self.disk)
        self.pauses = 0
        self.paused_for_good = False
        if trouble.lasting:
            self.at(self.now + 1.0, self._look)

    def _look(self) -> None:
        """Mend the disk when it has had trouble for a while; up to then nobody acts as if all was well."""
        if not self.trouble.failed:
            if self.outcome is None:
                self.at(self.now + 1.0, self._look)
            return
        self.at(self.now + MENDED_AFTER, self._mend)

    def _mend(self) -> None:
        life = self.life
        if life is not None and self.trouble.errno != SHORT:
            self.paused_for_good = life.journal.paused is not None
            self.checks.require(self.paused_for_good, "its disk fails, and the master goes on as if nothing were")
            self.checks.require(life.full == life.journal.paused, "the master is paused, and has not said so")
        self.trouble.mend()


def fails_in_turn(ways: tuple[int, ...], step: int = 1) -> Counter[str]:
    """The whole matrix, or every so many of its columns; how often which kind of end was seen."""
    whole = Troubled(Trouble(-1, SHORT, lasting=False))
    whole.run()
    seen: Counter[str] = Counter()
    for number in ways:
        for lasting in (False, True):
            for at in range(0, whole.trouble.count, step):
                trouble = Trouble(at, number, lasting=lasting)
                cluster = Troubled(trouble)
                try:
                    cluster.run()
                except Exception as problem:
                    name = errno.errorcode.get(number, "a short write")
                    raise AssertionError(
                        f"operation {at}, {trouble.failed[:3]}, {name}, lasting {lasting}: {problem}"
                    ) from problem
                check(cluster, trouble)
                seen["runs"] += 1
                seen["paused"] += cluster.paused_for_good
                seen["gave up"] += bool(cluster.given_up)
    return seen


def check(cluster: Troubled, trouble: Trouble) -> None:
    """How a run may have ended."""
    for problem in cluster.given_up:
        at_start = trouble.errno == errno.EROFS and problem.exit_status == 2
        unreadable = "open" in trouble.failed and problem.exit_status == 3
        assert problem.exit_status == 4 or at_start or unreadable, repr(problem)
    if trouble.errno == SHORT:
        assert not cluster.given_up, "a short write is no failure"


@pytest.mark.parametrize("number", WAYS)
def test_some_operations_fail_and_nothing_is_lost(number: int) -> None:
    fails_in_turn((number,), step=17)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_operation_of_a_run_fails_in_turn_and_nothing_is_lost() -> None:
    seen = fails_in_turn(WAYS)
    print(dict(seen))
    assert seen["runs"] > 1000
    assert seen["paused"] > 50
    assert seen["gave up"] > 100

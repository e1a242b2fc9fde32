"""Runs are found by any of their targets, however many there are and in whatever order they go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobtree.ids import NOBODY, Attempt
from jobtree.master import runs as room
from jobtree.master.nodes import Form, Node, Run, Source
from jobtree.master.runs import Runs

FORM = Form("t", None, {}, [0] * 9)
PARENT = Node(1, None, FORM, Source(0, 0), NOBODY, 1, 0)


def run_at(first: int, count: int) -> Run:
    return Run(PARENT, Attempt(1, 1), FORM, first, 1, count, Source(5, 0), 10, 0.0)


CHANGES = st.lists(st.tuples(st.sampled_from(["add", "take", "split", "take"]), st.integers(0, 400), st.integers(1, 5)))


@given(CHANGES, st.sampled_from([2, 4, 1024]))
def test_a_run_is_found_by_those_of_its_targets_that_have_not_left_it(changes: list[tuple[str, int, int]], block: int) -> None:
    runs = Runs()
    waiting: dict[int, Run] = {}
    added: set[int] = set()
    before, room.BLOCK = room.BLOCK, block
    try:
        for what, which, size in changes:
            if what == "add" and not added & set(range(which * 5, which * 5 + size)):
                run = run_at(which * 5, size)
                runs.add(run)
                added.update(range(which * 5, which * 5 + size))
                waiting.update(dict.fromkeys(range(which * 5, which * 5 + size), run))
            elif what == "take" and waiting:
                run = waiting[sorted(waiting)[which % len(waiting)]]
                size = min(size, run.count)
                for target in range(run.first, run.first + size):
                    del waiting[target]
                runs.shrink(run, size)
            elif what == "split" and waiting:
                target = sorted(waiting)[which % len(waiting)]
                rest = runs.split(waiting[target], target)
                if rest is not None:
                    waiting.update(dict.fromkeys(range(target, target + rest.count), rest))
            for target in range(0, 2010, 3):
                assert runs.find(target) is waiting.get(target)
        assert {id(run) for run in runs} == {id(run) for run in waiting.values()}
    finally:
        room.BLOCK = before


def test_a_hundred_thousand_single_runs_come_and_go_in_order() -> None:
    runs = Runs()
    for target in range(100_000):
        runs.add(run_at(target, 1))
    for target in range(99_999):
        run = runs.find(target)
        assert run is not None
        runs.shrink(run, 1)
    assert [run.first for run in runs] == [99_999]
    runs.clear()
    assert runs.find(99_999) is None

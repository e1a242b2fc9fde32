"""Named resources of a run: what is in use never exceeds what there is, and nobody waits for what is free."""

from __future__ import annotations

from random import Random

import pytest

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.counters import Counters
from tests.support.office import Office

LICENCE = ["needy", None, {"resources": {"licence": 1}}]
DOUBLE = ["greedy", None, {"resources": {"licence": 2, "line": 0.5}}]
PLAIN = ["plain", None, {}]
CAPACITIES = {"licence": 3.0, "line": 1.0}


def in_use(office: Office) -> dict[str, float]:
    used = dict.fromkeys(CAPACITIES, 0.0)
    for node in office.tree.current.values():
        for name, amount in node.form.requests.get("resources", {}).items():
            used[name] += amount
    return used


def test_two_workers_share_what_the_run_has() -> None:
    office = Office(resources={"licence": 1.0})
    office.hello(1, cpus=4.0)
    office.hello(2, cpus=4.0)
    office.create(1, Attempt(1, 1), 3, form=LICENCE)
    office.done(1, Attempt(1, 1), created=3)
    assert len(office.given(1)) + len(office.given(2)) == 1
    (attempt,) = office.tree.current
    office.done(1 if office.tree.current[attempt].worker == 1 else 2, attempt)
    assert len(office.given(1)) + len(office.given(2)) == 1


@pytest.mark.parametrize(("wanted", "words"), [({"licence": 9}, "of which this run has 3"), ({"gold": 1}, "--resource")])
def test_what_the_run_never_has_is_refused_in_words(wanted: dict[str, float], words: str) -> None:
    office = Office(resources=CAPACITIES, root=["t", None, {"resources": wanted}])
    office.hello(1)
    (refused,) = office.wrote(r.TargetsRefused)
    assert refused.cause == "no-fit"
    assert words in refused.message


@pytest.mark.parametrize("seed", range(40))
def test_no_more_is_ever_in_use_than_there_is(seed: int) -> None:
    rng = Random(seed)
    office = Office(resources=CAPACITIES)
    for peer in (1, 2, 3):
        office.hello(peer, cpus=float(rng.randint(1, 4)))
    root = Attempt(1, 1)
    first = 1
    for _ in range(8):
        count = rng.randint(1, 4)
        office.create(1, root, count, first_n=first, form=rng.choice((LICENCE, LICENCE, DOUBLE, PLAIN)))
        first += count
    office.done(1, root, created=first - 1)
    for _ in range(300):
        used = in_use(office)
        assert all(used[name] <= CAPACITIES[name] + 1e-9 for name in used), used
        if not office.tree.current:
            break
        attempt = rng.choice(list(office.tree.current))
        office.done(office.tree.current[attempt].worker, attempt)
    assert office.tree.outcome == "complete"
    free = office.state.core.scheduler.counters.free
    assert free == pytest.approx(CAPACITIES)


def test_room_is_counted_by_what_is_scarcest() -> None:
    counters = Counters({"a": 1.0, "b": 10.0})
    assert counters.room((("a", 0.3), ("b", 1.0)), 100) == 3
    counters.reserve((("a", 0.3),), 3)
    assert counters.room((("a", 0.3),), 100) == 0
    counters.reserve((("a", 0.3),), -3)
    assert counters.room((("a", 0.1),), 100) == 10

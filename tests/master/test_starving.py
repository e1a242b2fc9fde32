"""What nobody can run is said, once, after some time."""

from __future__ import annotations

from jobtree.ids import Attempt
from jobtree.master.effects import Tell
from jobtree.protocol.messages import Type
from tests.support.office import Office


def said(office: Office) -> list[str]:
    return [effect.text for effect in office.did(Tell) if effect.level == "WARNING"]


def waited(office: Office, seconds: int) -> list[str]:
    found = []
    for _ in range(seconds):
        office.turn(after=1.0)
        found += said(office)
    return found


def test_that_no_worker_has_come_is_said_after_half_a_minute_and_once() -> None:
    office = Office(root=["align", None, {"cpus": 2.0}])
    assert waited(office, 29) == []
    (words,) = waited(office, 60)
    assert "no worker can run align:1 for 30 s now: it asks for 2 cpus, and no worker is there" in words


def test_that_all_are_too_small_is_said_while_a_larger_one_may_come() -> None:
    office = Office(worker_cpus=8.0, worker_memory=1 << 40, root=["big", None, {"cpus": 8.0, "memory": 1 << 30}])
    office.hello(1, cpus=1.0)
    words = []
    for number in range(1, 50):
        words += waited(office, 1)
        if number % 10 == 0:
            office.hear(1, Type.BEAT, [number])
    assert len(words) == 1
    assert "none of the 1 that are there is large enough" in words[0]


def test_what_only_waits_for_its_turn_is_not_spoken_of() -> None:
    office = Office()
    office.hello(1, cpus=1.0)
    office.create(1, Attempt(1, 1), 2)
    office.done(1, Attempt(1, 1), created=2)
    assert waited(office, 50) == []

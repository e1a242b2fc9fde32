"""The agenda gives its things in order, whatever is moved while somebody goes through them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobtree.master.agenda import Agenda


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.booleans())))
def test_it_is_a_sorted_list_of_what_was_filed_last(changes: list[tuple[int, int, bool]]) -> None:
    agenda: Agenda[int] = Agenda()
    keys: dict[int, tuple[int, int]] = {}
    for number, (thing, key, stays) in enumerate(changes):
        if stays:
            if thing not in keys or keys[thing][0] != key:
                keys[thing] = (key, number)
            agenda.file(thing, key)
        elif thing in keys:
            del keys[thing]
            agenda.drop(thing)
    assert [thing for thing, _ in agenda.walk()] == sorted(keys, key=lambda thing: keys[thing])
    assert len(agenda) == len(keys)
    assert set(agenda) == set(keys)


def test_what_is_filed_behind_is_met_again_and_what_is_filed_before_is_not() -> None:
    agenda: Agenda[str] = Agenda()
    for key, thing in enumerate("abcd"):
        agenda.file(thing, key)
    met = []
    for thing, _ in agenda.walk():
        met.append(thing)
        if thing == "b" and met.count("b") == 1:
            agenda.file("b", 9)
            agenda.file("a", -1)
            agenda.drop("c")
            agenda.file("e", 2.5)
    assert met == ["a", "b", "e", "d", "b"]

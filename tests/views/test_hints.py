"""Hints name requests that are far above the use, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobtree.views.hints import Use, hints_of, sentence_of, suggested_memory

G = 1 << 30


def told(*uses: Use) -> list[str]:
    return [sentence_of(hint) for hint in hints_of(uses)]


def test_memory_that_was_never_touched_is_named_with_what_would_do() -> None:
    said = told(Use("align", 12, 0.0, 32 * G, 60.0, 60.0, 3 * G))
    assert said == ['align: asked 32G, peak 3G (12 targets); memory="4G" would do']


def test_cpus_that_idled_are_named() -> None:
    said = told(Use("call", 1, 8.0, 0, 100.0, 130.0, G))
    assert said == ["call: asked 8 cpus, used 1.3 (1 target); cpus=2 would do"]


def test_what_fits_is_small_or_was_not_asked_for_gives_no_hint() -> None:
    fits = Use("a", 5, 2.0, 4 * G, 10.0, 18.0, 3 * G)
    small = Use("b", 5, 1.0, G // 4, 10.0, 10.0, 1 << 20)
    silent = Use("c", 5, 0.0, 0, 10.0, 1.0, 1 << 20)
    quick = Use("d", 5, 8.0, 0, 0.1, 0.01, 1 << 20)
    never = Use("e", 0, 8.0, 32 * G, 0.0, 0.0, 0)
    assert told(fits, small, silent, quick, never) == []


def test_the_largest_waste_comes_first_and_the_list_is_short() -> None:
    said = told(*(Use(f"n{n}", 1, 0.0, (n + 2) * G, 1.0, 1.0, 1 << 20) for n in range(20)))
    assert [line.split(":")[0] for line in said] == ["n19", "n18", "n17", "n16", "n15"]


@given(st.integers(1, 1 << 45))
def test_a_suggestion_has_room_above_the_peak(peak: int) -> None:
    assert peak * 1.25 <= suggested_memory(peak) <= peak * 1.25 + (1 << 30)

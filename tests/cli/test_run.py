"""`jobtree run`: scripts without a word about command lines, and those with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scripts import Ended, Project, project

PLAIN = """
    import jobtree

    @jobtree.target
    def count(target, n: int, factor: float = 1.5, *, loud: bool = False):
        return target.set_follow_on(total([target.add_child(times(i, factor)) for i in range(n)], loud))

    @jobtree.target
    def times(i, factor):
        return i * factor

    @jobtree.target
    def total(parts, loud):
        return f"{sum(parts)}{'!' if loud else ''}"

    def plain(word: str):
        return word.upper()

    class Square(jobtree.Target):
        def __init__(self, n: int):
            self.n = n

        def run(self):
            return self.n ** 2

    ready = jobtree.call(plain, "made")

    @jobtree.target
    def fails():
        raise ValueError("as it must")
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path) as made:
        made.write("work.py", PLAIN)
        yield made


def run(place: Project, *words: object, status: int = 0) -> Ended:
    return place.run("-m", "jobtree", "run", "--tree", "T", "--progress", "none", *words, status=status)


def test_arguments_are_typed_by_the_annotations_of_the_target(place: Project) -> None:
    assert run(place, "--workers", 2, "work.py:count", 4, "--factor", 2, "--loud").out == "12.0!\n"


@pytest.mark.parametrize(
    ("words", "out"), [(["work.py:plain", "word"], "WORD\n"), (["work.py:Square", 7], "49\n"), (["work.py:ready"], "MADE\n")]
)
def test_functions_classes_and_targets_can_be_run(place: Project, words: list[object], out: str) -> None:
    assert run(place, *words).out == out


def test_a_script_with_a_main_of_its_own_gets_the_options_in_front_and_its_own_words(place: Project) -> None:
    place.write(
        "own.py",
        """
        import sys, jobtree
        def plus(x): return x + 1
        if __name__ == "__main__":
            print(jobtree.run(jobtree.call(plus, int(sys.argv[1]))), sys.argv)
        """,
    )
    assert run(place, "own.py", 41, "--tree", "mine").out == "42 ['own.py', '41', '--tree', 'mine']\n"
    assert place.tree.is_dir()


def test_a_module_beside_the_script_is_found(place: Project) -> None:
    place.write("sub/helper.py", "WORD = 'helped'")
    place.write("sub/main.py", "import helper, jobtree\n@jobtree.target\ndef go(): return helper.WORD\n")
    assert run(place, "sub/main.py:go").out == "helped\n"


def test_a_failed_run_is_reported_and_restarted_with_the_script_mended(place: Project) -> None:
    ended = run(place, "work.py:fails", status=1)
    assert "as it must" in ended.err
    place.write("work.py", PLAIN.replace('raise ValueError("as it must")', 'return "mended"'))
    place.run("-m", "jobtree", "restart", "T", "--progress", "none")
    assert run(place, "work.py:fails").out == "mended\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.py:x"], "there is no such script"),
        (["work.py:cuont", 1], "did you mean 'count'?"),
        (["work.py"], "has started no run"),
        (["work.py:count", "many"], "invalid int value: 'many'"),
        (["--wrokers", 2, "work.py:count", 1], "--wrokers"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line_and_status_2(place: Project, words: list[object], told: str) -> None:
    assert told in run(place, *words, status=2).err
    assert not place.tree.exists()


def test_help_behind_the_target_is_the_targets_own(place: Project) -> None:
    out = run(place, "work.py:count", "--help").out
    assert "jobtree run work.py:count" in out
    assert "--factor" in out

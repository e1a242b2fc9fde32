"""Order and commit, as users see them: what runs after what, and what never runs at all."""

from __future__ import annotations

import pytest

from tests.support.scripts import Project, counted

NOTE = """
import os, time, sys, jobtree

def note(text):
    with open("ledger", "a") as file:
        file.write(f"{text}\\n")
"""


def script(body: str) -> str:
    return NOTE + body


def test_a_follow_on_runs_after_the_whole_subtree_with_its_follow_ons_that_create_children_and_follow_ons(
    project: Project,
) -> None:
    project.write(
        "script.py",
        script("""
@jobtree.target
def end(name): note(name)

@jobtree.target
def second(target, name, depth):
    note(f"{name}.f")
    if depth:
        target.add_child(grow(f"{name}.fc", depth - 1))
        target.set_follow_on(third(f"{name}.ff", depth - 1))

@jobtree.target
def third(target, name, depth):
    note(name)
    target.add_child(grow(f"{name}c", 0))

@jobtree.target
def grow(target, name, depth):
    note(name)
    if depth:
        target.add_child(grow(f"{name}.1", depth - 1))
        target.add_child(grow(f"{name}.2", depth - 1))
    target.set_follow_on(second(name, depth))

@jobtree.target
def root(target):
    target.add_child(grow("a", 2))
    target.add_child(grow("b", 1))
    target.set_follow_on(end("END"))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=2)
"""),
    )
    project.run("script.py")
    noted = project.noted()
    assert noted[-1] == "END"
    assert len(noted) == len(set(noted)) == 1 + _grown("a", 2, noted) + _grown("b", 1, noted)


def _grown(name: str, depth: int, noted: list[str]) -> int:
    """Check what `grow(name, depth)` and all below it have noted; how many lines those are."""
    count = 2
    follow_on = noted.index(f"{name}.f")
    assert noted.index(name) < follow_on
    if depth:
        for child in (f"{name}.1", f"{name}.2"):
            count += _grown(child, depth - 1, noted)
            assert max(place for place, line in enumerate(noted) if line.startswith(child)) < follow_on
        count += _grown(f"{name}.fc", depth - 1, noted) + _grown(f"{name}.ffc", 0, noted) + 1
        after = noted.index(f"{name}.ff")
        assert max(place for place, line in enumerate(noted) if line.startswith(f"{name}.fc")) < after
    return count


def test_children_start_only_after_their_parent_has_returned(project: Project) -> None:
    project.script(
        script("""
@jobtree.target
def child(): note("child")

@jobtree.target
def root(target):
    target.add_child(child())
    time.sleep(0.5)
    note("parent is done")

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
""")
    )
    assert project.noted() == ["parent is done", "child"]


def test_what_a_failed_attempt_created_never_runs(project: Project) -> None:
    ended = project.script(
        script("""
@jobtree.target
def child(): note("child")

@jobtree.target
def root(target):
    for _ in range(3000):
        target.add_child(child())
    target.set_follow_on(child())
    time.sleep(0.2)
    raise ValueError("after all")

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
"""),
        status=1,
    )
    assert project.noted() == []
    assert "ValueError: after all" in ended.err


def test_what_a_retried_attempt_created_exists_once(project: Project) -> None:
    project.script(
        script("""
@jobtree.target
def child(attempt, i): note(f"child {i} of attempt {attempt}")

@jobtree.target(retries=2)
def root(target):
    for i in range(1500):
        target.add_child(child(target.attempt, i))
    target.set_follow_on(child(target.attempt, "last"))
    if target.attempt < 3:
        raise ValueError("not yet")

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
""")
    )
    noted = project.noted()
    assert sorted(noted[:-1]) == sorted(f"child {i} of attempt 3" for i in range(1500))
    assert noted[-1] == "child last of attempt 3"


def test_after_makes_a_child_wait_for_the_whole_chain_of_a_sibling(project: Project) -> None:
    project.script(
        script("""
@jobtree.target
def leaf(name): note(name)

@jobtree.target
def deep(target):
    note("deep")
    time.sleep(0.1)
    target.add_child(leaf("below deep"))
    target.set_follow_on(leaf("after deep"))

@jobtree.target
def root(target):
    a = target.add_child(deep())
    b = target.add_child(leaf("b"), after=[a])
    target.add_child(leaf("c"), after=[a, b])
    target.set_follow_on(leaf("end"))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=2)
""")
    )
    assert project.noted() == ["deep", "below deep", "after deep", "b", "c", "end"]


def test_a_sibling_of_a_failed_target_goes_on_and_the_follow_on_never_starts(project: Project) -> None:
    project.script(
        script("""
@jobtree.target
def fine(name): note(name)

@jobtree.target
def bad(): raise ValueError("bad")

@jobtree.target
def root(target):
    target.add_child(bad())
    for i in range(5):
        target.add_child(fine(f"sibling {i}"))
    target.set_follow_on(fine("follow-on"))

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
"""),
        status=1,
    )
    assert sorted(project.noted()) == [f"sibling {i}" for i in range(5)]


def test_a_second_follow_on_is_an_error(project: Project) -> None:
    ended = project.script(
        script("""
@jobtree.target
def leaf(name): note(name)

@jobtree.target
def root(target):
    target.set_follow_on(leaf("one"))
    target.set_follow_on(leaf("two"))

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
"""),
        status=1,
    )
    assert "has a follow-on already" in ended.err
    assert project.noted() == []


@pytest.mark.parametrize("end", ["sys.exit(0)", "sys.exit(3)", "os._exit(0)", "os._exit(4)", "os.kill(os.getpid(), 11)"])
def test_a_target_that_ends_its_process_has_failed(project: Project, end: str) -> None:
    ended = project.script(
        script(f"""
@jobtree.target
def child(): note("child")

@jobtree.target
def root(target):
    target.add_child(child())
    {end}

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
"""),
        status=1,
    )
    assert project.noted() == []
    assert "1 root failed:" in ended.err


def test_a_finished_target_runs_exactly_once(project: Project) -> None:
    project.script(
        script("""
@jobtree.target
def leaf(i): note(i)

@jobtree.target
def root(target):
    target.add_children(leaf(i) for i in range(2000))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=2)
""")
    )
    assert counted(project.noted()) == {str(i): 1 for i in range(2000)}

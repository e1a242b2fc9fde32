"""Wide, long and deep trees."""

from __future__ import annotations

import pytest

from tests.support.scripts import Project

SCRIPT = """
import sys, jobtree

@jobtree.target(memory="1M")
def leaf(): pass

@jobtree.target
def wide(target, n):
    target.add_children(leaf() for _ in range(n))
    target.set_follow_on(jobtree.call(int, n))

@jobtree.target
def link(target, n, at=0):
    return target.set_follow_on(link(n, at + 1)) if at < n else at

@jobtree.target
def deep(target, n, at=0):
    return target.add_child(deep(n, at + 1)) if at < n else at

if __name__ == "__main__":
    kind, n = sys.argv[1:]
    print(jobtree.run(globals()[kind](int(n)), tree="T", workers=1))
"""


@pytest.mark.parametrize(
    ("kind", "n"),
    [
        ("wide", 2_000),
        ("link", 500),
        ("deep", 500),
        pytest.param("wide", 100_000, marks=pytest.mark.slow),
        pytest.param("link", 2_000, marks=pytest.mark.slow),
        pytest.param("deep", 1_000, marks=pytest.mark.slow),
    ],
)
def test_a_tree_may_be_wide_long_and_deep(project: Project, kind: str, n: int) -> None:
    project.script(SCRIPT, kind, n)
    again = project.run("script.py", kind, n)
    assert again.lines == [str(n) if kind != "wide" else "None"]

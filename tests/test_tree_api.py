"""`jobtree.Tree` gives what the verbs give."""

from __future__ import annotations

from pathlib import Path

import pytest

import jobtree
from jobtree._tree import Tree
from jobtree.errors import JobtreeError, UsageError
from jobtree.protocol import payload
from jobtree.views.schema import State
from tests.views.scribe import DEAD, Scribe, whole_run


def test_status_stats_failures_and_logs_are_those_of_the_verbs(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    tree = Tree(tmp_path / "tree")
    assert tree.status().state is State.COMPLETE
    assert tree.stats().targets.count == 5
    assert tree.failures() == []
    assert list(tree.logs()) == []
    assert repr(tree) == f"Tree({str(tmp_path / 'tree')!r})"


def test_every_look_is_a_new_one(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin()
    scribe.join(1)
    tree = Tree(tmp_path / "tree")
    assert tree.status().counts.ready == 1
    attempt = scribe.assign(1)
    scribe.print(1, "top", attempt, b"text\n")
    scribe.fail(attempt)
    assert [failure.message for failure in tree.failures()] == ["it went wrong"]
    assert [line.text for line in tree.logs(target="top")] == ["text"]
    scribe.close()


def test_the_result_is_unpickled_when_asked_for(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin()
    scribe.join(1)
    with pytest.raises(UsageError, match="has no result"):
        Tree(tmp_path / "tree").result()
    scribe.commit(scribe.assign(1), data=payload.dumps({"answer": 42}).data)
    scribe.close()
    assert Tree(tmp_path / "tree").result() == {"answer": 42}


def test_what_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobtreeError, match="not a jobtree tree"):
        Tree(tmp_path)


def test_it_is_public() -> None:
    assert jobtree.Tree is Tree

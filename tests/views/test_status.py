"""The status says how a run stands, in words and as a document."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from jobtree.master import records as r
from jobtree.master.journal.holder import Holder
from jobtree.views.history import History
from jobtree.views.schema import Counts, State, Status, to_json
from jobtree.views.status import lines, status_of
from jobtree.views.words import Table, aligned
from tests.views.scribe import DEAD, Scribe, whole_run


def status(path: Path, now: float | None = None) -> Status:
    made = History(str(path))
    made.poll()
    return status_of(made, now)


def text(found: Status, *, verbose: bool = False) -> str:
    parts = lines(found, verbose=verbose)
    return "\n".join(line for part in parts for line in (aligned(part) if isinstance(part, Table) else [part]))


def test_a_complete_run_is_complete(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    found = status(tmp_path / "tree")
    assert found.state is State.COMPLETE
    assert found.counts == Counts(done=5)
    assert [(one.name, one.counts.done) for one in found.names] == [("top", 1), ("leaf", 3), ("total", 1)]
    assert found.script == "/home/me/run.py"
    assert text(found).startswith(f"{tmp_path}/tree: complete (5 of 5 targets done; 5s)")


def test_a_run_whose_master_lives_is_running(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1, block="b1", cpus=2.0)
    scribe.put(r.BlockPlanned(scribe.now, "b1", "", 1))
    root = scribe.assign(1)
    scribe.create(root, "leaf", "leaf")
    found = status(tmp_path / "tree", scribe.now + 100)
    assert found.state is State.RUNNING
    assert (found.counts.running, found.counts.provisional) == (1, 2)
    assert found.elapsed == 100
    (worker,) = found.workers
    assert (worker.holding, worker.name) == (1, "w1@node1")
    assert "w1@node1" in text(found)
    assert "block b1: 1 worker asked for" in text(found)
    scribe.close()


def test_a_copy_of_a_running_tree_is_not_running(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    shutil.copytree(tmp_path / "tree", tmp_path / "copy")
    assert status(tmp_path / "copy").state is State.STOPPED
    assert status(tmp_path / "tree").state is State.RUNNING
    scribe.close()


@pytest.mark.parametrize("holder", [DEAD, Holder.ourselves()._replace(started=1)])
def test_a_run_whose_master_was_killed_has_stopped(tmp_path: Path, holder: Holder) -> None:
    scribe = Scribe(tmp_path / "tree", holder=holder)
    scribe.begin()
    scribe.close()
    found = status(tmp_path / "tree")
    assert found.state is State.STOPPED
    assert f"jobtree restart {tmp_path}/tree goes on from here" in text(found)


def test_a_master_elsewhere_is_known_by_its_lock(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin()
    assert status(tmp_path / "tree").state is State.RUNNING
    scribe.close()
    assert status(tmp_path / "tree").state is State.STOPPED


def test_a_run_that_said_its_end_is_not_running_though_its_process_lives(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.end("stopped", "interrupted")
    found = status(tmp_path / "tree")
    assert (found.state, found.reason) == (State.STOPPED, "interrupted")
    scribe.close()


def test_a_run_with_failures_says_what_failed_where_and_how_often(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    root = scribe.assign(1)
    children = scribe.create(root, *["leaf"] * 4)
    scribe.commit(root)
    words = {"message": "KeyError: 'chr9'", "type": "KeyError", "where": "run.py:9 in leaf", "output": "one\ntwo\x1b[31m"}
    for child in children[:3]:
        scribe.fail(scribe.assign(child), failure={**words, "host": "node7"})
    scribe.commit(scribe.assign(children[3]))
    scribe.end("failed", "targets have failed")
    scribe.close()
    found = status(tmp_path / "tree")
    assert found.state is State.FAILED
    said = text(found)
    assert "3 of 4 leaf failed:" in said
    assert "3 exception: KeyError: 'chr9' at run.py:9 in leaf (node7 ×3), e.g. leaf:2" in said
    assert "two" not in said
    verbose = text(found, verbose=True)
    assert "    two\\x1b[31m" in verbose
    assert "\x1b" not in verbose


def test_no_run_that_goes_on_is_to_be_restarted(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    root = scribe.assign(1)
    children = scribe.create(root, "leaf", "leaf")
    scribe.commit(root)
    scribe.fail(scribe.assign(children[0]), failure={"message": "KeyError: 'chr9'"})
    said = text(status(tmp_path / "tree"))
    assert "jobtree retry" in said
    assert "jobtree restart" not in said
    scribe.close()


def test_a_tree_whose_first_master_was_killed_at_once_has_a_status(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.close()
    found = status(tmp_path / "tree")
    assert (found.state, found.counts.total, found.names) == (State.STOPPED, 0, ())
    assert text(found)


def test_the_document_is_json_with_all_fields_and_its_version_first(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    document = json.loads(json.dumps(to_json(status(tmp_path / "tree"))))
    assert next(iter(document)) == "schema"
    assert document["schema"] == 1
    assert set(document) == {"schema", *(field.name for field in fields(Status))}
    assert document["state"] == "complete"
    assert document["names"][1]["counts"]["done"] == 3
    assert {"tree", "state", "counts", "names", "failures", "workers", "blocks"} <= set(document)


def test_counts_are_the_same_while_running_and_when_read_at_once(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    follower = History(str(tmp_path / "tree"))
    root = scribe.assign(1)
    children = scribe.create(root, *["leaf"] * 5)
    scribe.create(root, "total", follow_on=True)
    scribe.commit(root)
    for child in children:
        follower.poll()
        assert status_of(follower).counts == status(tmp_path / "tree").counts
        scribe.commit(scribe.assign(child))
    scribe.close()


def test_the_time_left_is_what_is_known_over_the_cpus_there(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1, cpus=2.0)
    root = scribe.assign(1)
    children = scribe.create(root, *["leaf"] * 9)
    scribe.commit(root, wall=1.0)
    assert status(tmp_path / "tree").seconds_left is None, "no leaf has ended yet"
    scribe.commit(scribe.assign(children[0]), wall=20.0)
    scribe.assign(children[1])
    assert status(tmp_path / "tree").seconds_left == 80.0
    assert "about 1m20s left for what is known" in text(status(tmp_path / "tree"))
    scribe.close()

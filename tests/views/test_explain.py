"""Why a target has failed, or has not run yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree.errors import UsageError
from jobtree.master import records as r
from jobtree.views.explain import Explanation, Waiting, explain
from jobtree.views.history import History
from tests.views.scribe import DEAD, Scribe


@pytest.fixture
def scribe(tmp_path: Path) -> Scribe:
    made = Scribe(tmp_path / "tree", holder=DEAD)
    made.begin()
    return made


def told(scribe: Scribe, target: int, waiting: Waiting | None = None) -> Explanation:
    history = History(scribe.path)
    history.poll()
    return explain(history, target, waiting or Waiting(), now=1000.0)


def test_a_failed_target_is_explained_with_what_it_took_and_was_allowed(scribe: Scribe) -> None:
    scribe.join(1)
    attempt = scribe.assign(1)
    said = {"message": "used 3 GiB", "memory_limit": 2 << 30, "time_limit": 60.0, "host": "n7"}
    scribe.fail(attempt, "memory", failure=said, memory=3 << 30)
    found = told(scribe, 1)
    assert found.phase == "failed"
    text = "\n".join(found.lines)
    assert "used 3 GiB" in text
    assert "2 GiB that it may have" in text or "2G that it may have" in text
    assert "its time limit is" in text
    assert any(command.startswith("jobtree retry") and command.endswith("--memory x2") for command in found.commands)


def test_what_is_ready_is_compared_with_what_the_workers_have(scribe: Scribe) -> None:
    scribe.put(r.BlockPlanned(900.0, "jt-1", "", 2))
    scribe.put(r.BlockKnown(900.0, "jt-1", ["sge:7", "sge:8"]))
    found = told(scribe, 1, Waiting({"sge:7": "pending (queue is full)", "sge:8": "pending (queue is full)"}))
    text = "\n".join(found.lines)
    assert found.phase == "ready"
    assert "it asks for 1 cpus" in text
    assert "2 workers of block jt-1 were asked for" in text
    assert "pending (queue is full)" in text


def test_what_the_batch_system_says_of_workers_that_have_not_come_is_told(scribe: Scribe) -> None:
    scribe.put(r.BlockPlanned(900.0, "jt-1", "", 2), r.BlockKnown(900.0, "jt-1", ["sge:7", "sge:8"]))
    scribe.put(r.BlockNoted(930.0, "jt-1", "held", 2, "JobHeldUser"))
    assert "have not come: 2 held: JobHeldUser" in "\n".join(told(scribe, 1).lines)
    scribe.put(r.BlockNoted(960.0, "jt-1", "running", 2, ""))
    assert "JobHeldUser" not in "\n".join(told(scribe, 1).lines)


def test_a_waiting_target_names_what_it_waits_for_and_what_has_failed(scribe: Scribe) -> None:
    scribe.join(1)
    attempt = scribe.assign(1)
    first, second = scribe.create(attempt, "one", "two")
    scribe.commit(attempt)
    scribe.fail(scribe.assign(first), failure={"message": "no"})
    text = "\n".join(told(scribe, 1).lines)
    assert "waits for 2 children, and 1 of them can't go on" in text
    assert f":{first} has failed: exception" in text
    assert f":{second}" in text
    scribe.put(r.SubtreesCancelled(1.0, [second]))
    assert told(scribe, second).phase == "cancelled"
    assert told(scribe, second).commands == (f"jobtree retry {scribe.path} {second}",)


def test_what_is_not_there_yet_or_any_more_is_told_apart_from_what_never_was(scribe: Scribe) -> None:
    scribe.join(1)
    attempt = scribe.assign(1)
    (child,) = scribe.create(attempt, "one")
    assert told(scribe, child).phase == "provisional"
    assert told(scribe, 1).phase == "running"
    scribe.commit(attempt)
    scribe.commit(scribe.assign(child))
    assert told(scribe, child).phase == "done"
    with pytest.raises(UsageError, match="no target 99"):
        told(scribe, 99)


def test_who_waits_for_a_licence_is_told_who_holds_it(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", holder=DEAD)
    scribe.begin()
    scribe.put(r.EpochBegan(scribe.now, scribe.epoch + 1, "here", 42, {"resources": {"licence": 1.0}}))
    scribe.epoch += 1
    scribe.join(1)
    form = ["needy", None, {"resources": {"licence": 1.0}}]
    attempt = scribe.assign(1)
    scribe.put(r.TargetsCreated([1, 1], b"xx", scribe.now, *attempt, 2, 1, [form], [0, 2], {}))
    row = scribe.row(attempt)
    row[3] = 2
    scribe.put(r.AttemptsCommitted([0], b"", scribe.now, 1, [row]))
    scribe.assign(2)
    assert "of licence the run has 1, and 1 is in use, held by needy:2" in told(scribe, 3).lines

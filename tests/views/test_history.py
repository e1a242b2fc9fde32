"""A replayed journal tells what every attempt took, what failed, who worked."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from jobtree.errors import JournalDamaged, UsageError
from jobtree.master import records as r
from jobtree.master.nodes import Phase
from jobtree.views.history import History
from tests.views.scribe import Scribe, whole_run


def history(path: Path) -> History:
    made = History(str(path))
    made.poll()
    return made


def test_every_attempt_that_ended_well_is_counted_with_what_it_took(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    taken = history(tmp_path / "tree").taken
    assert list(taken["leaf"].time) == [1.0, 2.0, 3.0]
    assert list(taken["leaf"].cpu) == [0.5, 0.5, 0.5]
    assert list(taken["leaf"].memory) == [1000, 2000, 3000]
    assert list(taken["top"].time) == [1.0]
    assert set(taken) == {"top", "leaf", "total"}


def test_a_target_waits_from_being_ready_to_its_beginning(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    taken = history(tmp_path / "tree").taken
    assert list(taken["top"].wait) == [1.0]
    assert list(taken["leaf"].wait) == [1.0, 2.0, 3.0]
    assert list(taken["total"].wait) == [1.0], "a follow-on is ready when the last child has ended"


def test_clocks_that_disagree_make_no_negative_wait(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    scribe.commit(scribe.assign(1), started=scribe.now - 100)
    scribe.close()
    assert list(history(tmp_path / "tree").taken["top"].wait) == [0.0]


def test_a_failure_has_all_that_is_known_of_it_and_its_exception_stays_pickled(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1, host="node7")
    words = {"message": "KeyError: 'x'", "type": "KeyError", "where": "a.py:3 in f", "exit": None, "output": "last words"}
    scribe.fail(scribe.assign(1), again=scribe.now + 1, failure=words)
    scribe.now += 5
    scribe.fail(scribe.assign(1), failure=words, data=b"not a pickle", wall=2.0, memory=99)
    scribe.close()
    found = history(tmp_path / "tree")
    failure = found.failures[1]
    assert (failure.name, failure.attempts, failure.cause, failure.host) == ("top", 2, "exception", "node7")
    assert (failure.where, failure.output, failure.wall, failure.memory) == ("a.py:3 in f", "last words", 2.0, 99)
    assert found.remains[1].data == b"not a pickle"
    assert (found.taken["top"].failed, found.taken["top"].retries) == (2, 1)


def test_the_right_exception_is_found_among_the_payloads_of_a_frame(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    root = scribe.assign(1)
    children = scribe.create(root, "leaf", "leaf", "leaf")
    scribe.commit(root)
    attempts = [scribe.assign(child) for child in children]
    good = r.AttemptsCommitted([5], b"first", scribe.now, 1, [scribe.row(attempts[0], result=True)])
    rows = [scribe.row(attempt, "exception", result=True, failure={"message": "x"}) for attempt in attempts[1:]]
    bad = r.AttemptsFailed([6, 5], b"secondthird", scribe.now, 1, rows, [None, None])
    scribe.put(good, bad)
    scribe.close()
    found = history(tmp_path / "tree")
    assert {target: remains.data for target, remains in found.remains.items()} == {children[1]: b"second", children[2]: b"third"}


def test_targets_that_are_tried_again_are_no_failures_any_more(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    scribe.fail(scribe.assign(1))
    scribe.end("failed")
    scribe.close()
    assert list(history(tmp_path / "tree").failures) == [1]
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.put(r.TargetsRetried(scribe.now, [1]))
    scribe.commit(scribe.assign(1), wall=3.0)
    scribe.close()
    found = history(tmp_path / "tree")
    assert found.failures == {}
    assert found.remains == {}
    assert (found.taken["top"].retries, list(found.taken["top"].time)) == (1, [3.0])


def test_targets_that_no_worker_can_run_are_failures(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    root = scribe.assign(1)
    scribe.create(root, *["leaf"] * 3)
    scribe.commit(root)
    scribe.put(r.TargetsRefused(scribe.now, [2, 3], "no-fit", "too large"))
    scribe.close()
    found = history(tmp_path / "tree")
    assert [(one.id, one.name, one.cause, one.attempts) for one in found.failures.values()] == [
        (2, "leaf", "no-fit", 0),
        (3, "leaf", "no-fit", 0),
    ]


def test_attempts_lost_with_their_worker_are_counted_and_run_again(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    attempt = scribe.assign(1)
    scribe.put(r.AttemptsLost(scribe.now, 1, "gone", [[*attempt, 1]]), r.WorkerLeft(scribe.now, 1, "gone"))
    scribe.close()
    found = history(tmp_path / "tree")
    assert found.taken["top"].lost == 1
    assert found.tree.counts()[Phase.READY] == 1
    assert found.workers[1].reason == "gone"


def test_workers_and_blocks_are_remembered_when_they_have_gone(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.put(r.BlockPlanned(scribe.now, "b1", "", 2), r.BlockKnown(scribe.now, "b1", ["x", "y"]))
    scribe.put(r.BlockPlanned(scribe.now, "b2", "", 1), r.BlockEnded(scribe.now, "b2", "", "refused"))
    scribe.join(1, block="b1")
    scribe.commit(scribe.assign(1), wall=2.5, user=1.0, memory=77)
    scribe.now += 10
    scribe.put(r.WorkerLeft(scribe.now, 1, "idle"), r.BlockEnded(scribe.now, "b1", "x", "exit status 0"))
    scribe.close()
    found = history(tmp_path / "tree")
    worker = found.workers[1]
    assert (worker.left_at, worker.reason, worker.targets, worker.busy, worker.cpu, worker.memory) == (
        scribe.now, "idle", 1, 2.5, 1.0, 77,
    )  # fmt: skip
    assert (found.blocks["b1"].ended, found.blocks["b1"].gone) == (False, {"x": "exit status 0"})
    assert (found.blocks["b2"].ended, found.blocks["b2"].refused) == (True, "refused")


def test_the_time_between_two_masters_does_not_count(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.now += 7
    scribe.join(1)
    scribe.close()
    scribe = Scribe(tmp_path / "tree")
    scribe.now += 1000
    scribe.begin()
    scribe.now += 3
    scribe.end("stopped", "interrupted")
    scribe.close()
    found = history(tmp_path / "tree")
    assert found.elapsed == 10.0
    assert [epoch.ended.state if epoch.ended else None for epoch in found.epochs] == [None, "stopped"]


def test_a_history_follows_a_journal_that_grows_over_segments_and_masters(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", segment_bytes=1000)
    scribe.begin()
    scribe.join(1)
    found = history(tmp_path / "tree")
    root = scribe.assign(1)
    children = scribe.create(root, *["leaf"] * 20)
    scribe.commit(root)
    for number, child in enumerate(children):
        if number == 10:
            scribe.close()
            scribe = Scribe(tmp_path / "tree", segment_bytes=1000)
            scribe.begin()
        scribe.commit(scribe.assign(child), wall=float(number))
        assert found.poll()
        assert list(found.taken["leaf"].time) == [float(n) for n in range(number + 1)]
    assert not found.poll()
    scribe.close()
    assert len(list((tmp_path / "tree" / "journal").glob("seg-*"))) > 3


def test_a_torn_end_is_no_business_of_a_view(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    (segment,) = (tmp_path / "tree" / "journal").glob("seg-*")
    data = segment.read_bytes()
    segment.write_bytes(data + data[-100:-50])
    assert history(tmp_path / "tree").tree.outcome == "complete"
    segment.write_bytes(data[:-40])
    history(tmp_path / "tree")


def test_damage_is_refused_with_its_place(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    (segment,) = (tmp_path / "tree" / "journal").glob("seg-*")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    with pytest.raises(JournalDamaged, match="offset"):
        history(tmp_path / "tree")


def test_what_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a jobtree tree"):
        History(str(tmp_path))


def test_a_payload_is_found_in_the_journal(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    scribe.commit(scribe.assign(1), data=b"the result")
    scribe.close()
    found = history(tmp_path / "tree")
    assert found.tree.result.source is not None
    assert found.payloads(*found.tree.result.source, 1) == ([10], b"the result")
    with pytest.raises(LookupError):
        found.payloads(10_000, 0, 1)


def test_the_collector_is_on_again_after_a_replay(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    assert gc.isenabled()
    history(tmp_path / "tree")
    assert gc.isenabled()


def test_a_tree_that_is_moved_away_while_it_is_looked_at_is_gone(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    history = History(scribe.path)
    history.poll()
    (tmp_path / "tree").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="tree is gone: it was moved or removed"):
        history.poll()
    scribe.lock.release()

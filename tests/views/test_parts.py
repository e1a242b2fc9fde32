"""What views tell of a run is the same whether its journal was compacted, once, often or never."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from jobtree._compact import compact, sweep_blobs
from jobtree.files import Files
from jobtree.master.compaction import needless
from jobtree.master.journal.verify import verify
from jobtree.master.nodes import Phase
from jobtree.views.dump import documents
from jobtree.views.history import History
from jobtree.views.stats import lines as stats_lines
from jobtree.views.stats import stats_of
from jobtree.views.status import lines as status_lines
from jobtree.views.status import status_of
from tests.views.scribe import RESULT, Scribe


def run_on(scribe: Scribe, target: int, rounds: int) -> int:
    """A loop of some rounds, each with two leaves, one of which fails at first, with words, and a follow-on."""
    for _ in range(rounds):
        scribe.now += 1
        attempt = scribe.assign(target)
        leaves = scribe.create(attempt, "leaf", "leaf")
        (target,) = scribe.create(attempt, "loop", follow_on=True)
        scribe.commit(attempt, wall=1.0, user=0.5, memory=1000, messages=[[scribe.now, "INFO", "a round"]])
        scribe.fail(scribe.assign(leaves[0]), again=scribe.now, wall=0.25)
        scribe.now += 0.5
        for leaf in leaves:
            scribe.commit(scribe.assign(leaf), started=scribe.now, wall=0.125, memory=leaf)
    return target


@pytest.fixture
def scribe(tmp_path: Path) -> Iterator[Scribe]:
    made = Scribe(tmp_path / "tree", segment_bytes=2000)
    made.begin()
    made.join(1)
    yield made
    made.close()


def squeeze(scribe: Scribe) -> None:
    """All of a compaction."""
    scribe.journal.seal()
    assert compact(scribe.files, scribe.path) is not None
    for name in needless(scribe.files, scribe.directory):
        scribe.files.unlink(f"{scribe.directory.path}/{name}")


def told(scribe: Scribe) -> dict[str, Any]:
    """All that views show."""
    said: list[Any] = []
    history = History(scribe.path, on_messages=lambda *message: said.append(message), detail=True)
    history.poll()
    attempts = history.attempts
    assert attempts is not None
    return {
        "stats": asdict(stats_of(history, scribe.now)),
        "status": asdict(status_of(history, scribe.now)),
        "said": said,
        "taken": {name: [list(taken.time), list(taken.wait), list(taken.memory)] for name, taken in history.taken.items()},
        "attempts": [
            (attempts.target[i], attempts.names[attempts.name[i]], attempts.paths[attempts.path[i]].name,
             attempts.paths[attempts.path[i]].level, attempts.started[i], attempts.causes[attempts.cause[i]])
            for i in range(len(attempts))
        ],
        "workers": [history.worker_of(1, number) for number in range(1, 50)],
        "remains": history.remains,
    }  # fmt: skip


def test_views_tell_the_same_after_a_compaction_and_go_on(scribe: Scribe) -> None:
    target = run_on(scribe, 1, 10)
    failed = scribe.assign(target)
    scribe.fail(failed, failure={"message": "no", "output": "last words"}, data=b"not a pickle")
    before = told(scribe)
    squeeze(scribe)
    assert told(scribe) == before
    assert before["remains"][target].data == b"not a pickle"


def test_nothing_is_counted_twice_or_lost_over_many_compactions(tmp_path: Path) -> None:
    plain, squeezed = Scribe(tmp_path / "plain", segment_bytes=2000), Scribe(tmp_path / "squeezed", segment_bytes=2000)
    targets = {plain: 1, squeezed: 1}
    for one in targets:
        one.begin()
        one.join(1)
    for _ in range(6):
        for one, target in targets.items():
            targets[one] = run_on(one, target, 7)
        squeeze(squeezed)
    ours, theirs = told(squeezed), told(plain)
    ours["status"]["tree"] = ours["stats"]["tree"] = theirs["status"]["tree"] = theirs["stats"]["tree"] = ""
    assert ours == theirs
    size = {one: sum(file.stat().st_size for file in Path(one.directory.path).glob("s*")) for one in targets}
    assert size[squeezed] < size[plain] / 2
    for one in targets:
        one.close()


def test_a_view_that_follows_is_not_disturbed_by_a_compaction(scribe: Scribe) -> None:
    target = run_on(scribe, 1, 3)
    history = History(scribe.path)
    history.poll()
    for _ in range(4):
        target = run_on(scribe, target, 8)
        squeeze(scribe)
    run_on(scribe, target, 2)
    assert history.poll()
    afresh = History(scribe.path)
    afresh.poll()
    assert stats_of(history, scribe.now) == stats_of(afresh, scribe.now)
    assert history.tree.counts()[Phase.DONE] == 3 * (3 + 4 * 8 + 2)


def test_the_root_s_result_is_found_in_a_snapshot(scribe: Scribe) -> None:
    scribe.commit(scribe.assign(1), data=RESULT)
    squeeze(scribe)
    scribe.journal.seal()
    history = History(scribe.path)
    history.poll()
    source = history.tree.result.source
    assert source is not None
    assert history.payloads(*source, 1) == ([len(RESULT)], RESULT)
    with pytest.raises(LookupError):
        history.payloads(0, 0, 1)


def test_views_do_without_a_part_that_is_gone_and_say_so(scribe: Scribe) -> None:
    target = run_on(scribe, 1, 5)
    squeeze(scribe)
    (part,) = Path(scribe.directory.path).glob("hist-*")
    run_on(scribe, target, 5)
    squeeze(scribe)
    part.unlink()
    history = History(scribe.path, detail=True)
    history.poll()
    status, stats = status_of(history), stats_of(history)
    assert status.counts.done == history.tree.counts()[Phase.DONE]
    assert len(stats.gaps) == 1
    assert part.name in stats.gaps[0]
    assert status.gaps == stats.gaps
    for lines in (status_lines(status), stats_lines(stats, stats.names, human=True)):
        assert any("1 part of the history can't be read" in line for line in lines if isinstance(line, str))


def test_a_damaged_part_is_left_out_and_named(scribe: Scribe) -> None:
    run_on(scribe, 1, 5)
    squeeze(scribe)
    (part,) = Path(scribe.directory.path).glob("hist-*")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    history = History(scribe.path)
    history.poll()
    (gap,) = history.gaps
    assert part.name in gap
    report = verify(scribe.files, scribe.directory)
    assert report.damage is not None
    assert part.name in str(report.damage)


def test_verify_and_dump_begin_with_the_snapshot(scribe: Scribe) -> None:
    target = run_on(scribe, 1, 5)
    squeeze(scribe)
    target = run_on(scribe, target, 5)
    squeeze(scribe)
    run_on(scribe, target, 1)
    report = verify(scribe.files, scribe.directory)
    assert report.damage is None
    assert not report.notes
    assert not report.unused
    assert report.snapshot is not None
    assert "2 parts of the history" in report.snapshot
    found = list(documents(scribe.files, scribe.directory))
    assert found[0]["item"] == "fields"
    records = [document["record"] for document in found if "record" in document]
    assert records == list(range(records[0], scribe.journal.next_record))


def test_verify_reads_the_spare_snapshot_too(scribe: Scribe) -> None:
    target = run_on(scribe, 1, 5)
    squeeze(scribe)
    run_on(scribe, target, 5)
    squeeze(scribe)
    older, newer = sorted(Path(scribe.directory.path).glob("snap-*"))
    data = bytearray(older.read_bytes())
    data[-50] ^= 1
    older.write_bytes(bytes(data))
    report = verify(scribe.files, scribe.directory)
    assert report.damage is None
    (note,) = report.notes
    assert note.startswith("a spare is damaged: ")
    assert older.name in note
    assert newer.name in str(report.snapshot)
    assert not any("the journal is damaged" in line or "salvage" in line for line in report.lines())
    assert list(report.lines())[-1].startswith("the journal is sound, but what it keeps as a spare is damaged: nothing is lost")


def test_blobs_that_nobody_needs_are_swept(scribe: Scribe, tmp_path: Path) -> None:
    blobs = tmp_path / "tree" / "blobs"
    attempt = scribe.assign(1)

    def put(number: int, name: str, *, age: float) -> Path:
        path = blobs / f"{number & 0xFF:02x}" / f"1-{number}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (scribe.now - age, scribe.now - age))
        return path

    done, waiting = scribe.create(attempt, "leaf", "leaf", extras={0: [[], [], [1, "a"]], 1: [[], [], [1, "b"]]})
    scribe.commit(attempt)
    first = scribe.assign(done)
    scribe.commit(first)
    lost = scribe.assign(waiting)
    scribe.fail(lost, again=0.0)
    running = scribe.assign(waiting)
    scribe.journal.seal()
    day = 86_401.0
    needed = [put(attempt[1], "2", age=10 * day), put(running[1], "r", age=10 * day), put(99, "r", age=10 * day)]
    young = put(lost[1], "r", age=100.0)
    useless = [put(attempt[1], "1", age=0.0), put(lost[1], "1", age=2 * day), put(first[1], "r", age=2 * day)]
    compact(Files(), scribe.path, lambda past: sweep_blobs(past, now=scribe.now))
    assert [path.exists() for path in needed] == [True] * 3
    assert young.exists()
    assert [path.exists() for path in useless] == [False] * 3

"""Output of targets as lines: prefixed, each once, what is missing said."""

from __future__ import annotations

import re
import threading
from datetime import datetime
from pathlib import Path

import pytest

from jobtree.errors import UsageError
from jobtree.master import records as r
from jobtree.views import logs as view
from jobtree.views.logs import Logs, Wanted, prefixed
from tests.views.scribe import DEAD, Scribe


@pytest.fixture
def scribe(tmp_path: Path) -> Scribe:
    made = Scribe(tmp_path / "tree", holder=DEAD)
    made.begin()
    made.join(1)
    return made


def shown(scribe: Scribe, wanted: Wanted | None = None) -> list[str]:
    return [prefixed(line) for line in Logs(scribe.path, wanted)]


def test_lines_have_prefixes_that_grep_finds(scribe: Scribe) -> None:
    attempt = scribe.assign(1)
    scribe.print(1, "top", attempt, b"one\ntwo\n")
    scribe.print(1, "top", attempt, b"oops\n", stream=2)
    scribe.close()
    assert shown(scribe) == ["top:1[1] out| one", "top:1[1] out| two", "top:1[1] err| oops"]


def test_lines_that_come_in_parts_are_put_together(scribe: Scribe) -> None:
    attempt = scribe.assign(1)
    scribe.print(1, "top", attempt, b"be")
    scribe.print(1, "top", attempt, b"x\n", stream=2)
    scribe.print(1, "top", attempt, b"gin\nend", offset=2)
    scribe.close()
    assert shown(scribe) == ["top:1[1] err| x", "top:1[1] out| begin", "top:1[1] out| end"]


def test_what_was_dropped_is_said(scribe: Scribe) -> None:
    attempt = scribe.assign(1)
    scribe.print(1, "top", attempt, b"a\n")
    scribe.print(1, "top", attempt, b"z\n", offset=5002)
    scribe.close()
    assert shown(scribe) == ["top:1[1] out| a", "top:1[1] out| ... 5,000 bytes were dropped ...", "top:1[1] out| z"]


def test_nothing_takes_hold_of_the_terminal(scribe: Scribe) -> None:
    scribe.print(1, "top\x1b]0;x\x07", scribe.assign(1), "\x1b[2Jred\x00 \u202eevil \u9f8d\ttab\r\n".encode() + b"\xff\n")
    scribe.close()
    (first, second) = shown(scribe)
    assert first == "top\\x1b]0;x\\x07:1[1] out| \\x1b[2Jred\\x00 \\u202eevil \u9f8d\ttab"
    assert second.endswith("| \\xff")


def test_a_message_is_shown_once_though_it_is_in_both_stores(scribe: Scribe) -> None:
    attempt = scribe.assign(1)
    scribe.now = 100.0
    scribe.print(1, "top", attempt, b"INFO first\n", stream=0)
    scribe.now = 200.0
    scribe.print(1, "top", attempt, b"WARNING second line\nwith a third\n", offset=11, stream=0)
    messages = [[100.0, "INFO", "first"], [200.0, "WARNING", "second line\nwith a third"], [300.0, "INFO", "only in the row"]]
    scribe.commit(attempt, messages=messages)
    scribe.close()
    assert shown(scribe) == [
        "top:1[1] log| INFO: first",
        "top:1[1] log| WARNING: second line",
        "top:1[1] log| WARNING: with a third",
        "top:1[1] log| INFO: only in the row",
    ]
    assert [line.text for line in Logs(scribe.path, Wanted(level=30))] == ["second line", "with a third"]


def test_messages_of_the_journal_do_where_the_log_store_is_gone(scribe: Scribe) -> None:
    scribe.fail(scribe.assign(1), again=scribe.now, messages=[[1.0, "INFO", "tried"]])
    scribe.commit(scribe.assign(1), messages=[[2.0, "INFO", "done"]])
    scribe.close()
    assert shown(scribe) == ["top:1[1] log| INFO: tried", "top:1[2] log| INFO: done"]


def test_targets_are_chosen_by_name_id_both_or_failure(scribe: Scribe) -> None:
    root = scribe.assign(1)
    children = scribe.create(root, "leaf", "leaf", "other")
    scribe.commit(root)
    for child, name in zip(children, ("leaf", "leaf", "other"), strict=True):
        attempt = scribe.assign(child)
        scribe.print(child, name, attempt, b"text\n")
        if child == children[1]:
            scribe.fail(attempt, messages=[[5.0, "INFO", "failing"]])
        else:
            scribe.commit(attempt)
    scribe.close()

    def targets(wanted: Wanted) -> list[int]:
        return [line.target for line in Logs(scribe.path, wanted)]

    assert targets(Wanted.parse("leaf")) == [2, 3, 3]
    assert targets(Wanted.parse("4")) == [4]
    assert targets(Wanted.parse("leaf:3")) == [3, 3]
    assert targets(Wanted.parse("other:3")) == []
    assert targets(Wanted.parse(None, failed=True)) == [3, 3]


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--level LOUD"):
        Wanted.parse(None, level="loud".upper())


def test_the_bytes_of_a_target_come_as_they_were_printed(scribe: Scribe) -> None:
    attempt = scribe.assign(1)
    scribe.print(1, "top", attempt, b"\x1b[31mred\xff")
    scribe.print(1, "top", attempt, b"INFO message\n", stream=0)
    scribe.close()
    assert b"".join(Logs(scribe.path).raw()) == b"\x1b[31mred\xff"


def test_a_tree_whose_targets_are_silent_has_no_lines(scribe: Scribe) -> None:
    scribe.commit(scribe.assign(1))
    scribe.close()
    assert shown(scribe) == []


@pytest.mark.parametrize("failed", [False, True])
def test_a_follower_sees_all_to_the_last_line_and_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: bool
) -> None:
    monkeypatch.setattr(view, "POLL_SECONDS", 0.01)
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    lines: list[str] = []
    came = threading.Condition()

    def follow() -> None:
        for line in Logs(scribe.path, Wanted(failed=failed), follow=True):
            with came:
                lines.append(line.text)
                came.notify()

    follower = threading.Thread(target=follow)
    follower.start()
    attempt = scribe.assign(1)
    for number in range(5):
        scribe.print(1, "top", attempt, b"%d\n" % number, offset=2 * number)
        if not failed:
            with came:
                assert came.wait_for(lambda: len(lines) > number, 30)  # noqa: B023  # it waits in this very round
    scribe.fail(attempt)
    scribe.end("failed", "targets have failed")
    scribe.print(1, "top", attempt, b"last words", offset=10)  # the master writes them when all else is over
    assert follower.is_alive()
    scribe.close()
    follower.join(30)
    assert not follower.is_alive()
    assert lines[:5] == ["0", "1", "2", "3", "4"]
    assert failed or lines[5:] == ["last words"]


def test_a_target_name_or_worker_that_never_was_is_refused(scribe: Scribe) -> None:
    scribe.print(1, "top", scribe.assign(1), b"x\n")
    scribe.close()
    for wanted, said in (
        (Wanted.parse("topp"), "is called 'topp'; did you mean top?"),
        (Wanted.parse("2"), "there is no target 2"),
        (Wanted.parse("top:7"), "there is no target 7"),
        (Wanted.parse(worker="w2"), "no worker 2 has ever joined"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            shown(scribe, wanted)
    assert shown(scribe, Wanted.parse("top:1", worker="w1@node1")) == ["top:1[1] out| x"]


def test_lines_are_chosen_by_worker_and_time(scribe: Scribe) -> None:
    scribe.join(2)
    for worker, word in ((1, b"first\n"), (2, b"second\n")):
        scribe.now += 10
        attempt = scribe.assign(1, worker)
        scribe.print(1, "top", attempt, word)
        scribe.put(r.AttemptsReturned(scribe.now, [list(attempt)]))
    scribe.close()
    assert shown(scribe, Wanted.parse(worker="2")) == ["top:1[1] out| second"]
    assert shown(scribe, Wanted.parse(since=scribe.now)) == ["top:1[1] out| second"]
    assert shown(scribe, Wanted.parse(until=scribe.now - 1)) == ["top:1[1] out| first"]
    assert shown(scribe, Wanted.parse(since=scribe.now - 10, until=scribe.now)) == ["top:1[1] out| first", "top:1[1] out| second"]


def test_moments_may_be_told_in_several_ways() -> None:
    now = datetime(2026, 11, 22, 17, 5).timestamp()
    assert view.moment("10m", "--since", now) == now - 600
    assert view.moment("1d", "--since", now) == now - 86400
    assert view.moment("9:05", "--since", now) == now - 8 * 3600
    assert view.moment("2026-11-22 17:05", "--since", now) == now
    assert view.moment(str(now), "--since", now) == now
    with pytest.raises(UsageError, match="--since yesterday: say such as 10m"):
        view.moment("yesterday", "--since", now)

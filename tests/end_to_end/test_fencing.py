"""Two masters on one tree: one is refused, or superseded; never do both act."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files
from jobtree.master.journal.verify import verify
from tests.support.scripts import Project, Running, poll

SCRIPT = """
import errno, fcntl, os, sys, time, jobtree
from jobtree import _opening, _holding

def no_locks(descriptor, what):
    raise OSError(errno.ENOLCK, "No locks available")

@jobtree.target
def leaf(n):
    with open("ledger", "a") as file:
        file.write(f"{n}\\n")
    while not os.path.exists("go"):
        time.sleep(0.02)
    return n

@jobtree.target
def root(target):
    target.global_temp_dir.joinpath("kept").write_text("here")
    return target.set_follow_on(total([target.add_child(leaf(n)) for n in range(4)]))

@jobtree.target
def total(target, parts):
    assert target.global_temp_dir.joinpath("kept").read_text() == "here"
    return sum(parts)

if __name__ == "__main__":
    _opening.GRACE = 1.0
    _holding.WITNESS_WITHIN = 7.0
    if "IMPATIENT" in os.environ:
        _holding.ANSWER_WITHIN = 2.0
    if "REFUSE_LOCKS" in os.environ:
        fcntl.flock = no_locks
    if "LOCAL_LOCKS" in os.environ:
        fcntl.flock = lambda descriptor, what: None
    if "ELSEWHERE" in os.environ:
        _holding.Holder.is_here = False
        _holding.is_local = lambda path: False
    print(jobtree.run(root(), tree="T", progress="none", workers=2, worker_cpus=1,
        take_over="TAKE_OVER" in os.environ))
"""


@pytest.fixture
def first(project: Project) -> Running:
    """A master at work: two targets run, two wait."""
    running = project.start(project.write("script.py", SCRIPT))
    poll(lambda: len(project.noted()) == 2)
    return running


def last_line(err: str, status: int, expected: int) -> str:
    assert status == expected, err
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def finish(project: Project, running: Running) -> None:
    project.write("go", "")
    ended = running.wait()
    assert (ended.status, ended.lines) == (0, ["6"]), ended.err
    assert sorted(project.noted()) == ["0", "1", "2", "3"]
    report = verify(Files(), Directory.open(Files(), str(project.tree)))
    assert report.damage is None
    assert project.script(SCRIPT).lines == ["6"]


def test_the_second_master_is_told_who_has_the_tree_and_what_can_be_done(project: Project, first: Running) -> None:
    ended = project.run("script.py", status=5)
    words = last_line(ended.err, ended.status, 5)
    assert re.search(rf"T is held by pid {first.pid} on \S+, since \d{{4}}-.*kill {first.pid} on .*--take-over", words)
    finish(project, first)


def test_a_master_that_answers_is_not_superseded(project: Project, first: Running) -> None:
    ended = project.run("script.py", status=5, TAKE_OVER="1")
    assert f"held by pid {first.pid} on" in ended.last_error
    assert "is at work and answers" in ended.last_error
    finish(project, first)


def test_without_locks_the_second_master_is_refused_because_the_first_one_answers(project: Project) -> None:
    script = project.write("script.py", SCRIPT)
    first = project.start(script, REFUSE_LOCKS="1")
    poll(lambda: len(project.noted()) == 2)
    for locks in ("REFUSE_LOCKS", "LOCAL_LOCKS"):
        ended = project.run(script, status=5, **{locks: "1"})
        assert f"pid {first.pid}" in last_line(ended.err, ended.status, 5)
    finish(project, first)


def test_a_master_on_another_machine_is_known_to_live_by_its_witness(project: Project, first: Running) -> None:
    connection = project.tree / "connection"
    kept = connection.read_bytes()
    connection.unlink()  # it cannot be reached from there
    ended = project.run("script.py", status=5, LOCAL_LOCKS="1", ELSEWHERE="1")
    assert f"held by pid {first.pid} on" in last_line(ended.err, ended.status, 5)
    poll(connection.exists)
    assert connection.read_bytes() == kept
    finish(project, first)


def test_a_master_that_was_killed_is_followed_at_once_without_locks(project: Project) -> None:
    script = project.write("script.py", SCRIPT)
    first = project.start(script, REFUSE_LOCKS="1")
    poll(lambda: len(project.noted()) == 2)
    first.kill()
    finish(project, project.start(script, REFUSE_LOCKS="1"))


def segments(tree: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tree.glob("journal/seg-00000001-*")}


def test_a_stopped_master_that_was_superseded_changes_nothing_when_it_goes_on(project: Project, first: Running) -> None:
    first.signal(signal.SIGSTOP)
    refused = project.run("script.py", status=5)
    assert "--take-over" in refused.last_error
    second = project.start("script.py", TAKE_OVER="1", IMPATIENT="1")
    poll((project.tree / "journal" / "epoch-00000002").exists)
    poll(lambda: list(project.tree.glob("journal/seg-00000002-*")), "the second one never began")
    third = project.run("script.py", status=5, TAKE_OVER="1")
    assert f"held by pid {second.pid} on" in third.last_error or f"held by pid {first.pid} on" in third.last_error
    project.write("go", "")
    ended = second.wait()
    assert (ended.status, ended.lines) == (0, ["6"]), ended.err
    before = segments(project.tree), sorted(project.noted())
    first.signal(signal.SIGCONT)
    late = first.wait()
    words = last_line(late.err, late.status, 5)
    assert f"was taken over by pid {second.pid} on" in words
    assert "(epoch 2); this master (epoch 1) has changed nothing since" in words
    assert len(late.err.strip().splitlines()) == 1
    assert (segments(project.tree), sorted(project.noted())) == before
    finish(project, project.start("script.py"))


@pytest.mark.slow
def test_a_superseded_master_notices_while_its_successor_works_and_gives_the_lock_back(project: Project, first: Running) -> None:
    first.signal(signal.SIGSTOP)
    second = project.start("script.py", TAKE_OVER="1", IMPATIENT="1")
    poll(lambda: list(project.tree.glob("journal/seg-00000002-*")), "the second one never began")
    first.signal(signal.SIGCONT)
    late = first.wait()
    assert f"was taken over by pid {second.pid} on" in last_line(late.err, late.status, 5)
    ended = project.run("script.py", status=5)
    assert f"pid {second.pid}" in ended.last_error
    finish(project, second)

"""The master dies and comes back: what runs goes on, what has ended meanwhile is delivered, nothing is done twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from jobtree.protocol.keys import read_connection
from tests.support.kin import Kin
from tests.support.scripts import Project, Running, counted, poll

SCRIPT = """
import os, sys, time, jobtree

def note(*words):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())
    os.close(ledger)

@jobtree.target
def work(i, seconds):
    note("begins", i)
    time.sleep(seconds)
    note("ends", i)
    return i

@jobtree.target
def total(values):
    note("total")
    return sum(values)

@jobtree.target
def root(target, n, seconds):
    note("root")
    return target.set_follow_on(total([target.add_child(work(i, seconds)) for i in range(n)]))

if __name__ == "__main__":
    print(jobtree.run(root(int(sys.argv[1]), float(sys.argv[2])), tree="T", workers=4, worker_cpus=2, default_memory="16M"))
"""


def begun(project: Project) -> list[str]:
    return [line for line in project.noted() if line.startswith("begins")]


def running(project: Project) -> int:
    return len(begun(project)) - sum(line.startswith("ends") for line in project.noted())


def port(project: Project) -> int:
    """Where the last master said that it is."""
    (address,) = read_connection(project.tree / "connection").addresses
    return int(address.rpartition(":")[2])


def has_opened(project: Project, epoch: int) -> bool:
    return any((project.tree / "journal").glob(f"seg-{epoch:08d}-*"))


def killed_while_busy(project: Project, argv: tuple[object, ...], at: int) -> None:
    """Start a master, and kill it with -9 when `at` targets have begun and some of them run."""
    run = project.start("script.py", *argv)
    poll(lambda: len(begun(project)) >= at and running(project) > 0)
    run.kill()


def exactly_once(project: Project, n: int) -> None:
    once = ["root", "total", *(f"{word} {i}" for word in ("begins", "ends") for i in range(n))]
    assert counted(project.noted()) == dict.fromkeys(once, 1)


@pytest.mark.parametrize("seconds", [0.25, pytest.param(4.0, marks=pytest.mark.slow)])
def test_a_master_that_is_killed_five_times_finds_its_workers_again_and_no_target_runs_twice(
    project: Project, seconds: float
) -> None:
    project.write("script.py", SCRIPT)
    for at in (3, 14, 25, 36, 47):
        killed_while_busy(project, (60, seconds), at)
    assert project.run("script.py", 60, seconds).lines == [str(sum(range(60)))]
    exactly_once(project, 60)
    assert len(list(project.tree.glob("blocks/*.out"))) == 4, "no other workers were started"


def show_the_door(listener: socket.socket) -> None:
    """Be somebody else at a master's former port."""
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


def test_a_master_whose_port_is_taken_meanwhile_is_found_at_another(project: Project) -> None:
    project.write("script.py", SCRIPT)
    killed_while_busy(project, (16, 0.5), 8)
    former = port(project)
    with closing(socket.socket()) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", former))
        squatter.listen()
        threading.Thread(target=show_the_door, args=(squatter,), daemon=True).start()
        assert project.run("script.py", 16, 0.5).lines == [str(sum(range(16)))]
    assert port(project) != former
    exactly_once(project, 16)


@pytest.mark.parametrize("away", [1.5, pytest.param(75.0, marks=pytest.mark.slow)])
def test_what_ends_while_there_is_no_master_is_delivered_to_the_next_one(project: Project, away: float) -> None:
    project.write("script.py", SCRIPT)
    killed_while_busy(project, (8, 0.5), 8)
    poll(lambda: running(project) == 0)
    time.sleep(away)  # as long as somebody may need to notice: here time itself is what is tried
    assert project.run("script.py", 8, 0.5).lines == [str(sum(range(8)))]
    exactly_once(project, 8)


CHILDREN = """
import os, sys, time, jobtree

def note(*words):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())
    os.close(ledger)

@jobtree.target
def leaf(i, ballast):
    note("leaf", i)
    return i

@jobtree.target
def total(values):
    note("total")
    return sum(values)

@jobtree.target
def root(target):
    note("root")
    promises = []
    for i in range(600):
        # Some are large enough to go by way of a file, and the requests change, so that the pieces are of all kinds.
        made = leaf(i, os.urandom(100_000) if i % 97 == 0 else b"")
        promises.append(target.add_child(made.needs(cpus=0.5) if i % 7 == 0 else made))
        if i % 100 == 50:
            note("added", i)
            while not os.path.exists(f"go{i}"): time.sleep(0.01)
    return target.set_follow_on(total(promises))

if __name__ == "__main__":
    print(jobtree.run(root(), tree="T", workers=2, worker_cpus=1, default_memory="16M"))
"""


def test_the_children_of_an_adopted_attempt_are_there_once_whichever_of_their_pieces_had_arrived(project: Project) -> None:
    project.write("script.py", CHILDREN)
    for stop in range(50, 600, 100):
        run = project.start("script.py")
        poll(lambda: f"added {stop}" in project.noted())  # noqa: B023  # it is called at once
        time.sleep(0.03 * (stop // 100))  # a piece is sent when it is some hundredths of a second old
        run.kill()
        project.write(f"go{stop}", "")
    assert project.run("script.py").lines == [str(sum(range(600)))]
    leaves = [line for line in project.noted() if line.startswith("leaf")]
    assert counted(leaves) == {f"leaf {i}": 1 for i in range(600)}
    assert project.noted().count("root") == project.noted().count("total") == 1


FAULTY = """
import os, sys, time, jobtree

def note(*words):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())
    os.close(ledger)

@jobtree.target
def faulty():
    note("faulty VERSION")
    while not os.path.exists("go"): time.sleep(0.01)
    BODY

@jobtree.target
def next_in_line():
    note("next VERSION")

@jobtree.target
def root(target):
    target.add_child(faulty().needs(priority=1))
    target.add_child(next_in_line())

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=1, worker_cpus=1, default_memory="16M")
"""


def test_after_a_restart_the_next_attempt_runs_the_script_as_it_is_now(project: Project) -> None:
    """Also on a worker that has outlived the master, whose running attempt ends as it was begun; if it fails, then for free."""
    project.write("script.py", FAULTY.replace("VERSION", "old").replace("BODY", "raise ValueError('a typo')"))
    run = project.start("script.py")
    poll(lambda: project.noted() == ["faulty old"])
    run.kill()
    project.write("script.py", FAULTY.replace("VERSION", "new").replace("BODY", "return"))
    run = project.start("script.py")
    poll(lambda: has_opened(project, 2))
    project.write("go", "")
    ended = run.wait()
    assert ended.status == 0, ended.err
    assert counted(project.noted()) == {"faulty old": 1, "faulty new": 1, "next new": 1}
    assert len(list(project.tree.glob("blocks/*.out"))) == 1, "it is the worker of before"


HELD = """
import os, subprocess, sys, time, jobtree

@jobtree.target
def held(target):
    (target.local_temp_dir / "some file").write_text("x" * 1000)
    subprocess.Popen(["sleep", "1000"])
    with open("ledger", "a") as file: file.write("begun\\n")
    time.sleep(1000)

@jobtree.target
def short():
    with open("ledger", "a") as file: file.write("begun\\n")

@jobtree.target
def root(target):
    target.add_child(held()); target.add_child(held()); target.add_child(short())

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=2, worker_cpus=2, default_memory="16M", worker_patience=2, scratch_dir=sys.argv[1])
"""


def test_workers_give_up_after_their_patience_and_leave_nothing(project: Project, tmp_path: Path) -> None:
    project.write("script.py", HELD)
    scratch = tmp_path / "scratch"
    run: Running = project.start("script.py", scratch)
    poll(lambda: len(project.noted()) == 3)
    kin = Kin.of(project)
    assert len(kin.workers) == 2
    assert kin.runners
    assert os.listdir(scratch)
    run.kill()
    poll(lambda: not project.processes(), lambda: f"left behind: {project.processes()}")
    assert os.listdir(scratch) == []
    words = [path.read_text() for path in project.tree.glob("blocks/*.out")]
    assert len(words) == 2
    assert all("no master was found in time" in text for text in words)
    # They have left everything in order: the next master begins with what was not committed.
    project.write("script.py", HELD.replace("time.sleep(1000)", "pass").replace('["sleep", "1000"]', '["true"]'))
    project.run("script.py", scratch)


def test_a_supervisor_and_its_nursery_killed_at_once_leave_no_runner(lasting_project: Project) -> None:
    project = lasting_project  # the workers that take their places may be starting still
    project.write("script.py", SCRIPT)
    run = project.start("script.py", 2, 1000)
    poll(lambda: running(project) == 2)
    before = Kin.of(project)
    for pid in before.nurseries:
        os.kill(pid, signal.SIGSTOP)  # so that none of them can do what it does when its supervisor dies
    for pid in [*before.workers, *before.nurseries]:
        os.kill(pid, signal.SIGKILL)
    poll(lambda: not set(before.all) & set(project.processes()))
    run.kill()

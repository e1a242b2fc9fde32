"""Workers are killed, frozen and set free again; the master stands still: what is lost is run again, and nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from jobtree import Tree
from tests.support.chronicle import commits, told
from tests.support.kin import Kin, send
from tests.support.scripts import Project, counted, poll

NOTE = """
import os, sys, time, jobtree

def note(*words):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())
    os.close(ledger)

def wait_for(name):
    while not os.path.exists(name): time.sleep(0.01)
"""

LOAD = (
    NOTE
    + """
@jobtree.target
def work(i, seconds):
    note("begins", i)
    time.sleep(seconds)
    note("ends", i)
    return [i]

@jobtree.target
def total(values):
    return sorted(i for value in values for i in value)

@jobtree.target
def root(target, n, seconds):
    return target.set_follow_on(total([target.add_child(work(i, seconds)) for i in range(n)]))

if __name__ == "__main__":
    n, seconds, options = int(sys.argv[1]), float(sys.argv[2]), eval(sys.argv[3])
    found = jobtree.run(root(n, seconds), tree="T", workers=3, worker_cpus=2, default_memory="16M", **options)
    assert found == list(range(n)), found
    print("exact")
"""
)


def begun(project: Project) -> int:
    return sum(line.startswith("begins") for line in project.noted())


@pytest.mark.parametrize(
    ("targets", "kills", "whole"),
    [(60, 4, False), pytest.param(1500, 60, False, marks=pytest.mark.slow), pytest.param(1500, 60, True, marks=pytest.mark.slow)],
)
def test_workers_that_are_killed_at_random_under_load_cost_time_and_nothing_else(
    project: Project, targets: int, kills: int, whole: bool
) -> None:
    """`whole`: supervisor and nursery at once, as when the machine's memory has run out."""
    project.write("script.py", LOAD)
    run = project.start("script.py", targets, 0.1, {"retries": 0})
    chance = random.Random(1)
    for kill in range(1, kills + 1):
        poll(lambda: begun(project) >= kill * targets // (kills + 2))  # noqa: B023  # it is called at once
        kin = Kin.of(project)
        victim = chance.choice(kin.workers)
        for pid in Kin.below(victim) if whole else []:
            send(signal.SIGKILL, pid)
        send(signal.SIGKILL, victim)
    ended = run.wait()
    assert (ended.status, ended.lines) == (0, ["exact"]), ended.err
    assert set(commits(project).values()) == {1}
    assert {str(i) for i in range(targets)} <= {line.split()[1] for line in project.noted() if line.startswith("ends")}


FROZEN = (
    NOTE
    + """
@jobtree.target
def held(target):
    note("begins", target.attempt, os.getpid())
    if target.attempt == 1: wait_for("go")
    note("ends", target.attempt)
    return target.attempt

@jobtree.target
def other(mine, theirs):
    note("here", mine)
    wait_for("thawed")
    open(mine, "w"); wait_for(theirs)  # two of these are done only side by side

@jobtree.target
def root(target):
    first = target.add_child(held())
    target.add_child(other("a", "b"), after=[first])
    target.add_child(other("b", "a"), after=[first])
    return first

if __name__ == "__main__":
    print(jobtree.run(root(), tree="T", workers=2, worker_cpus=1, default_memory="16M", lost_after=3))
"""
)


def test_a_frozen_worker_is_lost_and_when_it_thaws_it_stops_what_others_have_done_and_is_of_use_again(project: Project) -> None:
    project.write("script.py", FROZEN)
    run = project.start("script.py")
    poll(lambda: len(project.noted()) == 1)
    runner = int(project.noted()[0].split()[2])
    worker = Kin.supervisor_of(runner)
    frozen = [worker, *Kin.below(worker)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    poll(lambda: "ends 2" in project.noted(), "the other worker runs it again")
    poll(lambda: any(line.startswith("here") for line in project.noted()))
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    poll(lambda: runner not in project.processes(), "what it held is stopped, since it is done")
    project.write("thawed", "")
    assert run.wait().lines == ["2"]
    assert "ends 1" not in project.noted()


def test_a_supervisor_that_is_frozen_for_ever_is_ended_and_another_comes_in_its_place(project: Project) -> None:
    project.write("script.py", FROZEN)
    project.write("thawed", "")  # nobody has to wait for that here
    run = project.start("script.py")
    poll(lambda: len(project.noted()) >= 1)
    runner = int(project.noted()[0].split()[2])
    worker = Kin.supervisor_of(runner)
    os.kill(worker, signal.SIGSTOP)
    assert run.wait().lines == ["2"], "two targets have run side by side, on one worker each"
    assert worker not in project.processes()


def test_a_supervisor_that_is_frozen_alone_delivers_nothing_twice(project: Project) -> None:
    """Its runners go on, and end what another worker has been given meanwhile; nobody wants to know any more."""
    project.write("script.py", LOAD)
    run = project.start("script.py", 30, 0.4, {"lost_after": 3})
    poll(lambda: begun(project) >= 6)
    victim = Kin.of(project).workers[0]
    os.kill(victim, signal.SIGSTOP)
    poll(lambda: max(counted(project.noted()).values()) > 1, "what it holds is given to others")
    os.kill(victim, signal.SIGCONT)
    assert run.wait().lines == ["exact"]
    assert set(commits(project).values()) == {1}
    most = counted([line for line in project.noted() if line.startswith("begins")])
    assert max(most.values()) == 2
    assert list(most.values()).count(2) <= 4, "two ran, and two more may have been given ahead"


@pytest.mark.parametrize(
    ("targets", "options", "stall"),
    [(24, {"lost_after": 3}, 6.0), pytest.param(60, {}, 90.0, marks=pytest.mark.slow)],
)
def test_a_master_that_stood_still_takes_nobody_for_lost(
    project: Project, targets: int, options: dict[str, float], stall: float
) -> None:
    project.write("script.py", LOAD)
    run = project.start("script.py", targets, 0.4, options)
    poll(lambda: begun(project) >= 8)
    run.signal(signal.SIGSTOP)
    time.sleep(stall)  # longer than a worker may be silent: here time itself is what is tried
    run.signal(signal.SIGCONT)
    assert run.wait().lines == ["exact"]
    assert set(counted(project.noted()).values()) == {1}
    assert not told(project, "AttemptsLost")


POISON = (
    NOTE
    + """
@jobtree.target
def poison(target):
    note("poison")
    nursery = os.getppid()
    with open(f"/proc/{nursery}/stat") as file: supervisor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(supervisor, 9)
    time.sleep(100)

@jobtree.target
def harmless(i):
    note("harmless", i)

@jobtree.target
def root(target):
    target.add_child(poison())
    for i in range(20): target.add_child(harmless(i))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=1, worker_cpus=1, default_memory="16M", retries=7)
"""
)


def test_the_fourth_worker_lost_with_the_same_target_fails_the_target_and_not_the_run(project: Project) -> None:
    project.write("script.py", POISON)
    ended = project.run("script.py", status=1)
    noted = counted(project.noted())
    assert noted.pop("poison") == 4, "losses are no failures: they use up no retries, and are bounded all the same"
    assert set(noted) == {f"harmless {i}" for i in range(20)}
    (failure,) = Tree(project.tree).failures()
    assert failure.cause == "poison"
    assert "4 workers were lost while running it" in failure.message
    assert "4 workers were lost while running it" in ended.err


SLOW_DISK = (
    NOTE
    + """
@jobtree.target
def leaf():
    note("leaf")

@jobtree.target
def root(target):
    note("root")
    target.add_child(leaf())

if __name__ == "__main__":
    sync = os.fdatasync
    os.fdatasync = lambda descriptor: (time.sleep(6), sync(descriptor))
    jobtree.run(root(), tree="T", workers=2, worker_cpus=1, default_memory="16M")
"""
)


@pytest.mark.slow
def test_a_master_whose_disk_takes_six_seconds_for_each_sync_is_not_taken_for_dead(project: Project) -> None:
    project.write("script.py", SLOW_DISK)
    assert project.start("script.py").process.wait(timeout=300) == 0
    assert project.noted() == ["root", "leaf"]
    assert len(told(project, "WorkerJoined")) == 2
    assert not told(project, "AttemptsLost", "AttemptsReturned", "AttemptsAdopted")

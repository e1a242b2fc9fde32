"""Runs that are cut short, in every way there is, go on where they were, and nothing that was finished is run again."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.support.scripts import Project, counted, poll

SCRIPT = """
import os, sys, time, jobtree

def note(text):
    with open("ledger", "a") as file:
        file.write(f"{text}\\n")

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.02)

@jobtree.target
def leaf(i):
    note(f"begin {i}")
    if os.path.exists("slowly"):
        wait_for("go")
    note(f"end {i}")
    return i

@jobtree.target
def total(parts):
    note("total")
    return sum(parts)

@jobtree.target
def root(target, n):
    note("root")
    return target.set_follow_on(total([target.add_child(leaf(i)) for i in range(n)]))

if __name__ == "__main__":
    print("result", jobtree.run(root(int(sys.argv[1])), tree="T", workers=2, worker_cpus=1, adopt_grace=20, default_memory="64M"))
"""


@pytest.fixture
def slow(project: Project) -> Project:
    """A project whose leaves wait for the file `go`."""
    project.write("script.py", SCRIPT)
    project.write("slowly", "")
    return project


def begun(project: Project) -> list[str]:
    return [line for line in project.noted() if line.startswith("begin")]


def test_interrupted_once_a_run_finishes_what_runs_and_begins_nothing_new(slow: Project) -> None:
    run = slow.start("script.py", 10)
    poll(lambda: len(begun(slow)) == 2)
    run.signal(signal.SIGINT)
    time.sleep(0.3)  # for the drain to be under way before anything can end
    slow.write("go", "")
    ended = run.wait()
    assert ended.status == 130, ended.err
    assert "jobtree restart" in ended.err
    assert "Traceback" not in ended.err
    noted = slow.noted()
    assert len(begun(slow)) == 2
    assert sum(line.startswith("end") for line in noted) == 2
    again = slow.run("script.py", 10)
    assert again.lines == ["result 45"]
    assert set(counted(slow.noted()).values()) == {1}


def test_interrupted_twice_a_run_stops_at_once_and_can_be_restarted(slow: Project) -> None:
    run = slow.start("script.py", 6)
    poll(lambda: len(begun(slow)) == 2)
    run.signal(signal.SIGINT)
    time.sleep(0.3)  # two signals at once may arrive as one
    run.signal(signal.SIGINT)
    ended = run.wait()
    assert ended.status == 130, ended.err
    poll(lambda: not slow.processes(), lambda: f"left behind: {slow.processes()}")
    assert not any(line.startswith("end") for line in slow.noted())
    slow.write("go", "")
    assert slow.restart().lines[-1] == "15"
    noted = counted(slow.noted())
    assert noted["root"] == noted["total"] == 1
    assert all(noted[f"end {i}"] == 1 for i in range(6))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_ended_by_a_signal_a_master_leaves_its_workers_to_the_next_one(slow: Project, number: int, status: int) -> None:
    run = slow.start("script.py", 4)
    poll(lambda: len(begun(slow)) == 2)
    run.signal(number)
    ended = run.wait()
    assert ended.status == status, ended.err
    workers = slow.workers()
    assert len(workers) == 2
    slow.write("go", "")
    assert slow.restart().lines[-1] == "6"
    assert set(counted(slow.noted()).values()) == {1}
    assert sorted(slow.workers() or workers) == sorted(workers)


def test_after_kill_9_of_the_master_a_restart_adopts_what_runs(slow: Project) -> None:
    run = slow.start("script.py", 4)
    poll(lambda: len(begun(slow)) == 2)
    run.kill()
    workers = slow.workers()
    again = slow.start("script.py", 4)
    poll(lambda: b"\n" in (slow.tree / "connection").read_bytes() and _epoch(slow) == 2)
    time.sleep(0.5)
    assert slow.workers() == workers
    slow.write("go", "")
    ended = again.wait()
    assert ended.status == 0, ended.err
    assert ended.lines == ["result 6"]
    assert set(counted(slow.noted()).values()) == {1}


def _epoch(project: Project) -> int:
    return len(list(project.tree.glob("journal/epoch-*")))


def test_what_ends_while_there_is_no_master_is_not_run_again(slow: Project) -> None:
    run = slow.start("script.py", 4)
    poll(lambda: len(begun(slow)) == 2)
    run.kill()
    slow.write("go", "")
    poll(lambda: sum(line.startswith("end") for line in slow.noted()) >= 2)
    assert slow.restart().lines[-1] == "6"
    assert set(counted(slow.noted()).values()) == {1}


def test_with_master_and_workers_killed_a_restart_runs_again_only_what_was_running(slow: Project) -> None:
    run = slow.start("script.py", 4)
    poll(lambda: len(begun(slow)) == 2)
    run.kill()
    for worker in slow.workers():
        os.kill(worker, signal.SIGKILL)
    poll(lambda: not slow.processes(), lambda: f"left behind: {slow.processes()}")
    slow.write("go", "")
    assert slow.restart(adopt_grace=0.2).lines[-1] == "6"
    noted = counted(slow.noted())
    assert {line: count for line, count in noted.items() if not line.startswith("begin")} == {
        "root": 1, "total": 1, **{f"end {i}": 1 for i in range(4)},
    }  # fmt: skip
    assert sorted(noted[f"begin {i}"] for i in range(4)) == [1, 1, 2, 2]


def test_a_worker_that_is_killed_is_replaced_and_its_target_run_again_free(slow: Project) -> None:
    run = slow.start("script.py", 3)
    poll(lambda: len(begun(slow)) == 2)
    os.kill(slow.workers()[0], signal.SIGKILL)
    poll(lambda: len(begun(slow)) == 3)
    slow.write("go", "")
    ended = run.wait()
    assert ended.status == 0, ended.err
    assert ended.lines == ["result 3"]


@pytest.mark.parametrize("seed", range(4))
def test_no_finished_target_runs_again_after_kill_9_of_the_master_at_a_random_point(project: Project, seed: int) -> None:
    chance = random.Random(seed)
    project.write(
        "script.py",
        """
        import os, time, jobtree
        from random import Random

        def note(text):
            file = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{text}\\n".encode())
            os.close(file)

        @jobtree.target
        def end(name): note(f"{name}.f")

        @jobtree.target
        def grow(target, name, depth):
            note(name)
            time.sleep(0.01)
            for i in range(4 if depth else 0):
                target.add_child(grow(f"{name}{i}", depth - 1))
            target.set_follow_on(end(name))

        if __name__ == "__main__":
            jobtree.run(grow("r", 3), tree="T", workers=2, adopt_grace=20)
        """,
    )
    for _ in range(3):
        run = project.start("script.py")
        already = len(project.noted())
        poll(lambda already=already, run=run: len(project.noted()) > already or run.process.poll() is not None)  # type: ignore[misc]
        time.sleep(chance.random() * 0.6)
        run.kill()
    project.run("script.py")
    noted = counted(project.noted())
    assert len(noted) == 2 * (1 + 4 + 16 + 64)
    assert {line: count for line, count in noted.items() if count > 1} == {}


def test_a_complete_tree_gives_its_stored_result_and_says_so(project: Project) -> None:
    project.write("script.py", SCRIPT)
    project.run("script.py", 3)
    noted = project.noted()
    again = project.run("script.py", 3)
    assert again.lines == ["result 3"]
    assert "is complete" in again.err
    assert project.restart().lines[-1] == "3"
    assert project.noted() == noted

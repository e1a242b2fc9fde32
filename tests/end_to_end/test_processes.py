"""Nothing of a run stays alive longer than it should, whatever ends it. (Every other test here checks so at its end, too.)"""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.scripts import Project, counted, poll

SCRIPT = """
import os, subprocess, sys, time, jobtree

def note(text):
    with open("ledger", "a") as file:
        file.write(f"{text}\\n")

@jobtree.target
def stubborn():
    subprocess.Popen(["setsid", "bash", "-c", "trap '' TERM INT HUP; while true; do sleep 0.1; done"])
    subprocess.Popen(["sleep", "1000"])
    if not os.fork():
        time.sleep(1000)
    note("begun")
    while not os.path.exists("go"):
        time.sleep(0.02)

@jobtree.target
def daemon():
    subprocess.Popen(["setsid", "sleep", "1000"])
    note("begun")

if __name__ == "__main__":
    jobtree.run(globals()[sys.argv[1]](), tree="T", worker_patience=1, adopt_grace=0.5)
"""


@pytest.fixture
def script(project: Project) -> Project:
    project.write("script.py", SCRIPT)
    return project


def gone(project: Project) -> None:
    poll(lambda: not project.processes(), lambda: f"left behind: {project.processes()}")


def test_interrupted_three_times_a_run_takes_everything_with_it(script: Project) -> None:
    run = script.start("script.py", "stubborn")
    poll(lambda: script.noted() == ["begun"])
    while run.process.poll() is None:
        run.signal(signal.SIGINT)
        time.sleep(0.1)
    # The last one may have met a Python that had its handlers back already.
    assert run.wait(killed=True).status in (130, -signal.SIGINT)
    gone(script)


def test_workers_that_no_master_comes_back_to_end_with_all_that_they_run(script: Project) -> None:
    run = script.start("script.py", "stubborn")
    poll(lambda: script.noted() == ["begun"])
    run.kill()
    gone(script)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_ends_takes_its_targets_with_it(script: Project, number: int) -> None:
    run = script.start("script.py", "stubborn")
    poll(lambda: script.noted() == ["begun"])
    before = set(script.processes())
    os.kill(script.workers()[0], number)
    script.write("go", "")
    poll(lambda: script.noted() == ["begun", "begun"])
    assert run.wait().status == 0
    gone(script)
    assert not before & set(script.processes())


def test_a_worker_that_is_asked_to_end_finishes_what_it_runs(script: Project) -> None:
    run = script.start("script.py", "stubborn")
    poll(lambda: script.noted() == ["begun"])
    worker = script.workers()[0]
    os.kill(worker, signal.SIGTERM)
    time.sleep(0.2)
    script.write("go", "")
    assert run.wait().status == 0
    assert script.noted() == ["begun"]
    gone(script)


def test_what_a_target_leaves_running_ends_with_the_run(script: Project) -> None:
    script.run("script.py", "daemon")
    gone(script)


def test_a_crash_of_the_master_s_own_process_leaves_workers_to_their_patience_only(project: Project) -> None:
    project.write("script.py", SCRIPT.replace("worker_patience=1", "worker_patience=1, default_memory='64M'"))
    run = project.start("script.py", "stubborn")
    poll(lambda: project.noted() == ["begun"])
    run.signal(signal.SIGABRT)
    run.wait(killed=True)
    gone(project)


def test_an_attempt_that_is_adding_children_when_the_master_dies_goes_on_and_none_of_them_is_lost_or_doubled(
    project: Project,
) -> None:
    project.write(
        "script.py",
        """
        import os, time, jobtree

        @jobtree.target
        def leaf(i):
            with open("ledger", "a") as file: file.write(f"{i}\\n")

        @jobtree.target
        def root(target):
            open("begun", "a").write("x")
            for i in range(3000):
                target.add_child(leaf(i))
                if i % 300 == 0: time.sleep(0.1)

        if __name__ == "__main__":
            jobtree.run(root(), tree="T", workers=2, adopt_grace=20)
        """,
    )
    for _ in range(3):
        run = project.start("script.py")
        poll((project.directory / "begun").exists)
        time.sleep(0.25)
        run.kill()
    project.run("script.py")
    assert counted(project.noted()) == {str(i): 1 for i in range(3000)}
    assert (project.directory / "begun").read_text() == "x"


def test_a_start_that_is_killed_at_any_point_leaves_a_tree_that_the_next_start_takes(project: Project) -> None:
    project.write(
        "script.py",
        """
        import jobtree

        @jobtree.target
        def root(): return "done"

        if __name__ == "__main__":
            print(jobtree.run(root(), tree="T", adopt_grace=0.5, worker_patience=1))
        """,
    )
    for moment in range(8):
        run = project.start("script.py")
        time.sleep(0.05 + moment * 0.05)
        run.kill()
    assert project.run("script.py").lines == ["done"]

"""A master that cannot write its journal waits for room; it says so, it can be ended, and it loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.support.mounts import tmpfs
from tests.support.scripts import Project, Running, counted, poll

SCRIPT = """
import os, sys, time, jobtree

@jobtree.target
def leaf(i):
    with open("ledger", "a") as file:
        file.write(f"{i}\\n")

@jobtree.target
def root(target):
    target.add_child(leaf(-1))
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    for i in range(200):
        target.add_child(leaf(i))

if __name__ == "__main__":
    import broken_disk
    broken_disk.arm()
    jobtree.run(root(), tree="T", workers=1, worker_patience=2, adopt_grace=1, progress="plain")
"""
FULL = "write,create,rename ENOSPC 0 -1 journal"


def paused(project: Project, *, before: str = "begun") -> Running:
    """A run whose disk has become full while its root was at work."""
    run = project.start(project.write("script.py", SCRIPT), PYTHONUNBUFFERED="1")
    poll((project.directory / before).exists)
    project.write("break", FULL)
    project.write("go", "")
    poll(lambda: broken(project) > 2)  # it has tried again, so it has said so
    return run


def broken(project: Project) -> int:
    """How many operations have failed."""
    path = project.directory / "broken"
    return len(path.read_text().splitlines()) if path.exists() else 0


def make_room(project: Project) -> None:
    (project.directory / "break").unlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_paused_master_ends_when_it_is_told_to_and_its_successor_completes_the_run(project: Project, number: int) -> None:
    run = paused(project)
    run.signal(number)
    ended = run.wait()
    assert ended.status == 128 + number
    assert "could not be written" in ended.err
    assert "no room" in ended.err
    make_room(project)
    project.restart()
    assert counted(project.noted()) == {str(i): 1 for i in range(-1, 200)}


def test_a_paused_master_ends_when_it_is_interrupted_twice(project: Project) -> None:
    run = paused(project)
    run.signal(signal.SIGINT)
    before = broken(project)
    poll(lambda: broken(project) > before + 1)  # the first one was taken in
    assert run.process.poll() is None
    run.signal(signal.SIGINT)
    assert run.wait().status == 130
    make_room(project)
    project.restart()
    assert sorted(set(project.noted()), key=int) == [str(i) for i in range(-1, 200)]


def test_a_run_goes_on_when_there_is_room_again(project: Project) -> None:
    run = paused(project)
    make_room(project)
    ended = run.wait()
    assert ended.status == 0
    assert "the run is paused: no room to write the journal" in ended.err
    assert "the run goes on" in ended.err
    assert counted(project.noted()) == {str(i): 1 for i in range(-1, 200)}


PATIENT = """
import os, time, jobtree

@jobtree.target
def root():
    with open("ledger", "a") as file:
        file.write("begun\\n")
    while not os.path.exists("go"):
        time.sleep(0.02)
    return "done"

if __name__ == "__main__":
    import broken_disk
    broken_disk.arm()
    print(jobtree.run(root(), tree="T", worker_patience=4, adopt_grace=3, progress="plain"))
"""


def test_a_worker_whose_new_master_has_no_room_waits_with_it_beyond_its_patience(project: Project) -> None:
    script = project.write("script.py", PATIENT)
    run = project.start(script)
    poll(lambda: project.noted() == ["begun"])
    run.kill()
    project.write("break", "create,write ENOSPC 2 -1 journal/seg-00000002")  # its first segment is made, and no more fits
    run = project.start(script)
    poll(lambda: broken(project) > 9)  # it tries again each second: twice as long as the worker's patience
    project.write("go", "")
    make_room(project)
    ended = run.wait()
    assert (ended.status, ended.out) == (0, "done\n")
    assert project.noted() == ["begun"], "the attempt was adopted, and has not run twice"


def status(project: Project, *words: str) -> str:
    return project.run("-m", "jobtree", "status", "T", *words).out


def test_status_says_that_a_run_is_paused_and_why(project: Project) -> None:
    run = paused(project)
    document = json.loads(status(project, "--json"))
    assert document["state"] == "running"
    assert document["paused"] == "no room to write the journal (No space left on device)"
    assert "paused: no room to write the journal (No space left on device); nothing is lost" in status(project)
    make_room(project)
    assert run.wait().status == 0
    assert json.loads(status(project, "--json"))["paused"] == ""
    assert "paused" not in status(project)


FILLED = SCRIPT.replace('tree="T"', 'tree="small/T"').replace("range(200)", "range(2000)").replace(
    "def leaf(i):", "def leaf(i, load=None):"
).replace("leaf(i))", "leaf(i, os.urandom(3000)))")  # fmt: skip


def test_a_run_waits_when_its_file_system_is_full_and_goes_on_when_there_is_room(project: Project) -> None:
    with tmpfs(project.directory / "small", "1m") as small:
        run = project.start(project.write("script.py", FILLED))
        project.write("go", "")
        project.tree = small / "T"
        poll(lambda: "no room" in (project.tree / "pause").read_text() if (project.tree / "pause").exists() else False)
        document = json.loads(project.run("-m", "jobtree", "status", project.tree, "--json").out)
        assert document["paused"].startswith("no room to write the journal")
        assert run.process.poll() is None
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        ended = run.wait()
        assert ended.status == 0, ended.err
        assert "the run is paused: no room to write the journal" in ended.err
        assert "the journal can be written again, the run goes on" in ended.err
        assert counted(project.noted()) == {str(i): 1 for i in range(-1, 2000)}
        assert project.run("-m", "jobtree", "journal", "verify", project.tree).status == 0


@pytest.mark.slow
def test_a_paused_run_on_a_full_file_system_ends_when_it_is_told_to(project: Project) -> None:
    with tmpfs(project.directory / "small", "3m") as small:
        run = project.start(project.write("script.py", FILLED.replace("3000", "50_000")))
        project.write("go", "")
        project.tree = small / "T"
        poll(lambda: "no room" in (project.tree / "pause").read_text() if (project.tree / "pause").exists() else False)
        run.signal(signal.SIGTERM)
        assert run.wait().status == 143
        subprocess.run(["mount", "-o", "remount,size=640m", str(small)], check=True)
        project.restart()
        assert sorted(set(project.noted()), key=int) == [str(i) for i in range(-1, 2000)]

"""Cables are pulled between the master and its workers: short cuts lose nothing, long ones cost time, nothing counts twice.

Each worker is on a host of its own, made of a network namespace, and so is the master.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support import hosts
from tests.support.chronicle import commits, told
from tests.support.hosts import KINDS, MASTER, Hosts
from tests.support.scripts import Project, Running, counted, poll

TROUBLE = hosts.trouble()
pytestmark = pytest.mark.skipif(bool(TROUBLE), reason=TROUBLE)

WORKERS = 3
LAUNCHER = """
import os, sys
from jobtree.launchers.local import LocalLauncher

class Elsewhere(LocalLauncher):
    def __init__(self, command, directory, settings=None):
        super().__init__([sys.executable, "-P", os.path.abspath(__file__), os.environ["HOSTS"], *command], directory, settings)

if __name__ == "__main__":  # become a worker on another host
    prefix, *command = sys.argv[1:]
    host = f"{prefix}w{int(command[-1]) % 3}"
    os.execvp("ip", ["ip", "netns", "exec", host, *command])
"""
SCRIPT = """
import os, sys, time, jobtree

def note(*words):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())
    os.close(ledger)

@jobtree.target
def work(target, i, seconds):
    note("begins", i)
    time.sleep(seconds)
    note("ends", i)
    return [target.add_child(leaf(i)), target.add_child(leaf(i))]

@jobtree.target
def leaf(i):
    note("leaf", i)
    return i

@jobtree.target
def total(values):
    return sorted(i for value in values for i in value)

@jobtree.target
def root(target, n, seconds):
    return target.set_follow_on(total([target.add_child(work(i, seconds)) for i in range(n)]))

if __name__ == "__main__":
    n, seconds, lost_after = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    found = jobtree.run(root(n, seconds), tree="T", launcher="elsewhere", bind=sys.argv[4], lost_after=lost_after, log_file="log",
                        workers=3, worker_cpus=2, default_memory="16M")
    assert found == sorted(2 * list(range(n))), found
    print("exact")
"""


@pytest.fixture
def cabled() -> Iterator[Hosts]:
    with hosts.hosts(WORKERS) as made:
        yield made


def start(project: Project, cabled: Hosts, n: int, seconds: float, lost_after: float) -> Running:
    """The script, with its master on a host of its own and its workers on others."""
    project.write("elsewhere.py", LAUNCHER)
    project.write("elsewhere-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    project.write("elsewhere-1.dist-info/entry_points.txt", "[jobtree.launchers]\nelsewhere = elsewhere:Elsewhere\n")
    project.write("script.py", SCRIPT)
    project.write("start.py", "import os, sys; os.execvp('ip', ['ip', 'netns', 'exec', *sys.argv[1:]])")
    argv = (cabled.master.name, sys.executable, "script.py", n, seconds, lost_after, MASTER)
    return project.start("start.py", *argv, HOSTS=cabled.prefix)


def exact(project: Project, run: Running) -> None:
    """The result is right, and nothing was committed twice."""
    ended = run.wait()
    assert (ended.status, ended.lines) == (0, ["exact"]), ended.err
    assert set(commits(project).values()) == {1}


def begun(project: Project) -> int:
    return sum(line.startswith("begins") for line in project.noted())


def test_a_short_cut_loses_nothing_whatever_is_cut(project: Project, cabled: Hosts) -> None:
    run = start(project, cabled, 48, 0.4, 60)
    poll(lambda: begun(project) >= 6)
    for index, kind in enumerate(("drop", "up", "down")):
        cabled.cut(index, kind)
    time.sleep(1.2)  # while targets end, and are acknowledged
    for index in range(WORKERS):
        cabled.heal(index)
    poll(lambda: begun(project) >= 30)
    for index in range(WORKERS):
        cabled.cut(index, "reset")
    time.sleep(0.8)
    for index in range(WORKERS):
        cabled.heal(index)
    exact(project, run)
    assert not told(project, "AttemptsLost")
    assert set(counted([line for line in project.noted() if not line.startswith("leaf")]).values()) == {1}


@pytest.mark.parametrize("kind", ["drop", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "drop")])
def test_a_worker_behind_a_long_cut_is_lost_and_comes_back(project: Project, cabled: Hosts, kind: str) -> None:
    run = start(project, cabled, 40, 0.5, 3)
    poll(lambda: begun(project) >= 6)
    cabled.cut(0, kind)
    poll(lambda: "is lost" in words(project), "it is given up")
    cabled.heal(0)
    poll(lambda: words(project).count("has joined") > WORKERS, "it comes back under another number")
    exact(project, run)
    twice = [line for line, count in counted([x for x in project.noted() if x.startswith("begins")]).items() if count > 1]
    assert len(twice) <= 4, "no more than what one worker held"


def words(project: Project) -> str:
    """What the master has told people so far."""
    return (project.directory / "log").read_text() if (project.directory / "log").exists() else ""


@pytest.mark.slow
def test_cuts_at_random_under_load_for_a_minute(project: Project, cabled: Hosts, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(5)
    run = start(project, cabled, 800, 0.4, 3)
    poll(lambda: begun(project) >= 6)
    cuts = dict.fromkeys(KINDS, 0)
    end = time.monotonic() + 60
    while time.monotonic() < end and run.process.poll() is None:
        index, kind = chance.randrange(WORKERS), chance.choice(KINDS)
        cuts[kind] += 1
        cabled.cut(index, kind)
        time.sleep(chance.choice((0.2, 1.0, 5.0)))
        cabled.heal(index)
        time.sleep(chance.choice((0.1, 1.0)))
    for index in range(WORKERS):
        cabled.heal(index)
    exact(project, run)
    lost = told(project, "AttemptsLost")
    with capsys.disabled():
        print(
            f"\n{sum(cuts.values())} cuts {cuts}, {sum(len(record['attempts']) for record in lost)} attempts lost, result exact"
        )

"""The gnarly test of the original jobTree, harder: everything fails, everybody is killed, and the result is exact.

Every attempt fails with probability one half, and half of those that fail are killed. Half of all runners are killed from
outside, and workers, nurseries and masters at random. The script is started again until the run is complete.
"""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from tests.support.chronicle import commits
from tests.support.kin import Kin, send
from tests.support.scripts import Project, Running, poll

SCRIPT = """
import heapq, json, os, random, shutil, signal, sys, time
from pathlib import Path
import jobtree

WIDTH = 8

def note(key):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (key + "\\n").encode())
    os.close(ledger)

def breadth(seed, key, depth):
    chance = random.Random(f"{seed} {key}")
    return chance.randint(1, 4) if depth > 0 and (chance.random() < 0.8 or key == "r/t") else 0

def leaves(seed, key, depth):
    n = breadth(seed, key, depth)
    return sum(leaves(seed, f"{key}/{i}", depth - 1) for i in range(n)) if n else 1

def write(path, lines):
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(b"".join(lines))
    new.replace(path)

class Gnarly(jobtree.Target, memory="16M"):
    def __init__(self, key): self.key = key

    def run(self):
        note(self.key)
        chance = random.SystemRandom()
        fails, early, violent = (chance.random() < 0.5 for _ in range(3))
        time.sleep(0.05 * chance.random())
        if not (fails and early): result = self.work()
        if fails and violent: os.kill(os.getpid(), signal.SIGKILL)
        if fails: raise RuntimeError("this attempt is to fail")
        return result

class Root(Gnarly):
    def __init__(self, key, seed, depth, chunk): self.key, self.seed, self.depth, self.chunk = key, seed, depth, chunk

    def work(self):
        path, out = Path("numbers").absolute(), self.global_temp_dir / "sorted"
        self.add_child(Down("r/s", path, 0, path.stat().st_size // WIDTH, self.chunk, out))
        count = self.add_child(Node("r/t", self.seed, self.depth))
        return self.set_follow_on(Finish("r+", count, out))

class Finish(Gnarly):
    def __init__(self, key, count, out): self.key, self.count, self.out = key, count, out

    def work(self):
        shutil.copy(self.out, "sorted")
        return self.count

class Node(Gnarly):
    def __init__(self, key, seed, depth): self.key, self.seed, self.depth = key, seed, depth

    def work(self):
        n = breadth(self.seed, self.key, self.depth)
        if not n: return 1
        counts = [self.add_child(Node(f"{self.key}/{i}", self.seed, self.depth - 1)) for i in range(n)]
        return self.set_follow_on(Sum(self.key + "+", counts))

class Sum(Gnarly):
    def __init__(self, key, counts): self.key, self.counts = key, counts

    def work(self): return sum(self.counts)

class Down(Gnarly):
    def __init__(self, key, path, first, last, chunk, out):
        self.key, self.path, self.first, self.last, self.chunk, self.out = key, path, first, last, chunk, out

    def work(self):
        size = self.last - self.first
        if size <= self.chunk:
            with open(self.path, "rb") as file:
                file.seek(self.first * WIDTH)
                write(self.out, sorted(file.read(WIDTH) for _ in range(size)))
            return
        parts = [self.global_temp_dir / name for name in "ab"]
        middle = self.first + size // 2
        self.add_child(Down(self.key + "/a", self.path, self.first, middle, self.chunk, parts[0]))
        self.add_child(Down(self.key + "/b", self.path, middle, self.last, self.chunk, parts[1]))
        self.set_follow_on(Up(self.key + "+", parts, self.out))

class Up(Gnarly):
    def __init__(self, key, parts, out): self.key, self.parts, self.out = key, parts, out

    def work(self):
        with open(self.parts[0], "rb") as a, open(self.parts[1], "rb") as b:
            write(self.out, list(heapq.merge(a, b)))

if __name__ == "__main__":
    seed, depth, chunk = map(int, sys.argv[1:4])
    root = Root("r", seed, depth, chunk)
    count = jobtree.run(root, tree="T", workers=2, worker_cpus=2, default_memory="16M", retries=2)
    print(json.dumps([count, leaves(seed, "r/t", depth)]))
"""


class Monkey:
    """Kills who is alive, as the dice fall, whenever some targets more have begun."""

    def __init__(self, project: Project, seed: int, pace: int) -> None:
        self.project = project
        self.pace = pace
        self.killed = {"runners": 0, "workers": 0, "nurseries": 0, "masters": 0}
        self._chance = random.Random(seed)
        self._next = pace

    def watch(self, run: Running) -> None:
        """Do what monkeys do until the master has ended, or was killed."""
        while run.process.poll() is None:
            poll(lambda: run.process.poll() is not None or len(self.project.noted()) >= self._next, seconds=300)
            self._next = len(self.project.noted()) + self.pace
            kin = Kin.of(self.project)
            self._kill("runners", [pid for pid in kin.runners if self._chance.random() < 0.5])
            deed = self._chance.random()
            if deed < 0.35:
                self._kill("workers", self._chance.sample(kin.workers, min(1, len(kin.workers))))
            elif deed < 0.5:
                self._kill("nurseries", self._chance.sample(kin.nurseries, min(1, len(kin.nurseries))))
            if self._chance.random() < 0.35:
                self._kill("masters", [run.pid] if run.process.poll() is None else [])
                return

    def _kill(self, kind: str, pids: list[int]) -> None:
        self.killed[kind] += sum(send(signal.SIGKILL, pid) for pid in pids)


def never_again(noted: list[str]) -> None:
    """What a target creates begins when it is committed: nothing may begin again after what it has created, or what follows it.

    This is read from the ledger alone, which the targets themselves have written, outside the tree.
    """
    first = {key: place for place, key in reversed(list(enumerate(noted)))}
    last = {key: place for place, key in enumerate(noted)}
    for key, place in first.items():
        creator = key[:-1] if key.endswith("+") else key.rpartition("/")[0]
        if creator:
            assert last[creator] < place, f"{creator} has begun again after {key}, which it had created"
        if key.endswith("+"):
            again = [below for below in last if below.startswith(f"{creator}/") and last[below] > place]
            assert not again, f"{again} have begun again after {key}, which waits for them"


@pytest.mark.parametrize(
    ("seed", "depth", "numbers", "pace"),
    [
        (1, 3, 200, 10),
        pytest.param(10, 6, 4_000, 25, marks=pytest.mark.slow),
        pytest.param(0, 8, 12_000, 50, marks=pytest.mark.torture),
    ],
)
def test_whatever_fails_and_whoever_is_killed_the_result_is_exact_and_nothing_committed_runs_again(
    project: Project, capsys: pytest.CaptureFixture[str], seed: int, depth: int, numbers: int, pace: int
) -> None:
    chance = random.Random(seed)
    lines = [f"{chance.randrange(10**7):07}\n" for _ in range(numbers)]
    project.write("numbers", "".join(lines))
    project.write("script.py", SCRIPT)
    monkey, starts, failed = Monkey(project, seed, pace), 0, 0
    while True:
        starts += 1
        run = project.start("script.py", seed, depth, 100)
        monkey.watch(run)
        ended = run.wait(killed=True)
        assert ended.status in (0, 1, -signal.SIGKILL), ended.err
        failed += ended.status == 1
        if ended.status == 0:
            break
    count, expected = json.loads(ended.out)
    assert count == expected
    assert Path(project.directory / "sorted").read_text() == "".join(sorted(lines))
    never_again(project.noted())
    assert set(commits(project).values()) == {1}
    targets = len(set(project.noted()))
    assert sum(commits(project).values()) == targets
    with capsys.disabled():
        kills = ", ".join(f"{number} {kind}" for kind, number in monkey.killed.items())
        print(f"\n{targets} targets, {len(project.noted())} attempts, {starts} starts ({failed} ended failed); killed: {kills}")

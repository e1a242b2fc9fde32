"""Power cuts of a real file system under a real run: what was acknowledged is there after the next boot.

Each target notes its number in a ledger on another disk, and a follow-on begins only when its predecessor's end is on disk. So a
target that runs again though its successor had begun is an acknowledged completion that was lost. What began while the ioctl was
at work does not count: a sync that is under way then was seen to return success for bytes that were not on the disk afterwards
(Linux 6.18), which a disk without power could not have done.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.support.mounts import Ext4, ext4
from tests.support.scripts import Project, poll

#: Seconds for what 50 boots have left of 8,000 targets, each of which waits for the disk, on a machine that others use too.
LAST_BOOT = 600.0

SCRIPT = """
import os, sys, jobtree
from pathlib import Path

CHAINS, LENGTH = 4, int(os.environ["LENGTH"])
LEDGER = os.open("ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@jobtree.target
def step(target, chain, i, load):
    os.write(LEDGER, f"{chain} {i} {os.getpid()}\\n".encode())
    assert load == bytes([i % 256]) * len(load), "the payload is another"
    if i < LENGTH:
        size = 70_000 if chain == 0 and i % 10 == 0 else 100  # some by way of TREE/blobs
        target.set_follow_on(step(chain, i + 1, bytes([(i + 1) % 256]) * size))
    return i

@jobtree.target
def root(target):
    return [target.add_child(step(chain, 0, b"\\0")) for chain in range(CHAINS)]

if __name__ == "__main__":
    if "unsafe" in sys.argv:
        from jobtree.files import Files
        Files.sync = Files.sync_data = Files.sync_directory = lambda *words: None
    jobtree.run(root(), tree="disk/T", workers=2, progress="none", adopt_grace=1, worker_patience=2)
    open("complete", "w").close()
"""


class Machine:
    """A run on a disk that loses power from time to time."""

    def __init__(self, project: Project, disk: Ext4, rng: Random, *words: str, length: int) -> None:
        self.project, self.disk, self.rng, self.words = project, disk, rng, words
        self.length = length
        self.excused: Counter[tuple[int, int]] = Counter()  # what had begun last in its chain at a cut, or later: may run again
        project.write("script.py", SCRIPT)

    def live_until_cut(self, *, steps: int) -> str:
        """One boot: the run goes on for at least so many steps, then the power goes; what it had complained of, if it had."""
        before = len(self.project.noted())
        run = self.project.start("script.py", *self.words, LENGTH=str(self.length))
        poll(lambda: len(self.project.noted()) >= before + steps or run.process.poll() is not None)
        time.sleep(self.rng.random() * self.rng.choice((0.05, 0.05, 0.5)))  # at any point of a turn, or of a start
        refused = run.process.poll() is not None and not (self.project.directory / "complete").exists()
        before_cut = self._last()
        self.disk.cut_power()
        error = run.kill().err
        self._everybody_dies()
        self.disk.unmount()
        self.disk.mount()
        for chain, last in self._last().items():
            for i in range(before_cut.get(chain, 0), last + 1):
                self.excused[chain, i] += 1
        with self.project.ledger.open("a") as ledger:
            ledger.write("cut\n")
        return error if refused else ""

    def live_to_the_end(self) -> None:
        """A boot without a cut."""
        ended = self.project.start("script.py", *self.words, LENGTH=str(self.length)).wait(patience=LAST_BOOT)
        assert ended.status == 0, f"exit status {ended.status}\n{ended.err}"

    def lost(self) -> list[str]:
        """What ran again though the target after it had begun: for each the lines of its chain about that place."""
        ran = Counter(self._noted())
        lost = [step for step, times in ran.items() if times > 1 + self.excused[step]]
        return [" | ".join(self._lines_about(*step)) for step in lost]

    def _noted(self) -> list[tuple[int, int]]:
        lines = (line.split() for line in self.project.noted())
        return [(int(words[0]), int(words[1])) for words in lines if words[0] != "cut"]

    def _lines_about(self, chain: int, i: int) -> list[str]:
        near = [[str(chain), str(other)] for other in range(i - 1, i + 3)]
        return [line for line in self.project.noted() if line == "cut" or line.split()[:2] in near]

    def _last(self) -> dict[int, int]:
        """How far each chain has come; what a cut has taken back is run anew, and does not count any more."""
        return dict(self._noted())

    def _everybody_dies(self) -> None:
        while processes := self.project.processes():
            for pid in processes:
                _kill(pid)
            time.sleep(0.01)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was faster


def survive(project: Project, directory: Path, cuts: int, seed: int) -> None:
    """Many cuts of one run; at the end it is complete, and nothing acknowledged was lost."""
    rng = Random(seed)
    with ext4(directory) as disk:
        machine = Machine(project, disk, rng, length=cuts * 40)
        for number in range(cuts):
            error = machine.live_until_cut(steps=rng.choice((0, 1, 5, 60)))
            assert not error, f"cut {number}: {error}"
            assert not machine.lost(), f"cut {number}"
        machine.live_to_the_end()
        assert not machine.lost()
        assert (project.directory / "complete").exists()


def test_two_power_cuts_lose_nothing_that_was_acknowledged(lasting_project: Project, tmp_path: Path) -> None:
    survive(lasting_project, tmp_path, cuts=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_fifty_power_cuts_lose_nothing_that_was_acknowledged(lasting_project: Project, tmp_path: Path) -> None:
    survive(lasting_project, tmp_path, cuts=50, seed=2)


@pytest.mark.slow
def test_without_syncs_a_power_cut_does_lose(lasting_project: Project, tmp_path: Path) -> None:
    """The control: a test that saw no loss here would see none anywhere."""
    with ext4(tmp_path) as disk:
        machine = Machine(lasting_project, disk, Random(3), "unsafe", length=100_000)
        machine.live_until_cut(steps=200)
        error = machine.live_until_cut(steps=200)
        assert error or machine.lost()

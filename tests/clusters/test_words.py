"""What keeps workers from coming is said within a minute, on the console and to whoever asks; nothing hangs in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clusters import hosts
from tests.clusters.hosts import Run

pytestmark = pytest.mark.timeout(300)
Make = Callable[..., Run]
MINUTE = 60


def test_jobs_that_wait_or_can_not_run_are_explained(make: Make) -> None:
    held = make("gridengine", "naps", "1", "0", name="ge-held").start("--workers", "1", "--launcher-args=-h")
    large = make("gridengine", "naps", "1", "0", name="ge-large").start("--workers", "1", "--worker-memory", "500G")
    wrong = make("gridengine", "naps", "1", "0", name="ge-wrong").start("--workers", "1", "--launcher-args=-wd /no/such/place")
    slept = make("slurm", "naps", "1", "0", name="slurm-held").start("--workers", "1", "--launcher-args=--hold")
    broad = make("slurm", "naps", "1", "0", name="slurm-long").start("--workers", "1", "--queue", "short", "--worker-time", "2h")
    held.says("1 of 1 workers can't start (held)", "hold", seconds=MINUTE)
    large.says("1 of 1 workers wait in the queue", "h_vmem", seconds=MINUTE)
    wrong.says("1 of 1 workers can't start (error)", "/no/such/place", seconds=MINUTE)
    slept.says("1 of 1 workers can't start (held)", "JobHeldUser", seconds=MINUTE)
    broad.says("PartitionTimeLimit", "--worker-time", seconds=MINUTE)
    for run, word in (
        (held, "held"),
        (large, "h_vmem"),
        (wrong, "/no/such/place"),
        (slept, "held"),
        (broad, "PartitionTimeLimit"),
    ):
        (block,) = run.status()["blocks"]
        assert word in block["reason"], block
    hosts.on("head", "qrls", "-u", "hpc")
    assert held.wait() == 0, "it goes on when it is let go"


def test_a_full_queue_is_explained(make: Make) -> None:
    first = make("slurm", "naps", "3", "50", name="first").start("--workers", "3:3", "--launcher-args=--exclusive")
    first.until(lambda: len(first.notes("begun")) == 3, "all nodes to be taken")
    second = make("slurm", "naps", "1", "0", name="second").start("--workers", "1")
    second.says("1 of 1 workers wait in the queue", "Resources", seconds=MINUTE)
    assert second.wait() == 0


@pytest.mark.parametrize(
    ("system", "words", "reason"),
    [
        ("slurm", ("--worker-memory", "500G"), "Memory specification can not be satisfied"),
        ("slurm", ("--queue", "nosuch"), "invalid partition specified: nosuch"),
        ("gridengine", ("--queue", "nosuch.q"), "nosuch.q"),
        ("gridengine", ("--launcher-args=-l nosuch=1",), 'unknown resource "nosuch"'),
        ("gridengine", ("--worker-cpus", "2"), "--gridengine-pe NAME (there are: smp)"),
    ],
)
def test_what_is_refused_ends_the_run_with_the_systems_words(
    make: Make, system: str, words: tuple[str, ...], reason: str
) -> None:
    run = make(system, "naps", "1", "0").start("--workers", "1", *words)
    assert run.wait(MINUTE) != 0
    assert reason in run.console()


def test_workers_that_die_at_once_are_not_asked_for_again_and_again(make: Make, system: str) -> None:
    run = make(system, "naps", "1", "0")
    run.words.insert(0, "/home/hpc/jobtree-tests/run_with_a_broken_python.py")
    (hosts.WORK / "run_with_a_broken_python.py").write_text(
        "import runpy, sys\nsys.argv.pop(0)\nreal = sys.executable\nsys.executable = '/no/such/python'\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    run.start("--workers", "3:3")
    assert run.wait(150) == 1
    assert "3 workers in a row could not be started" in run.console()
    assert "/no/such/python" in run.console(), "the worker's own words are shown"

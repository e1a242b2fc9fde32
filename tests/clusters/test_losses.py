"""Nodes die and are cut off, jobs are ended by others, time runs out, masters crash: nothing is lost, nothing counts twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.clusters import hosts
from tests.clusters.hosts import Run

pytestmark = pytest.mark.timeout(500)
Make = Callable[..., Run]
BOTH = ("gridengine", "slurm")


@pytest.fixture
def whole(clusters: None) -> Iterator[None]:
    """All nodes are there again afterwards."""
    yield
    for node in ("node2", "node3"):
        hosts.on("head", "true")
        for verb in ("boot", "join"):
            try:
                hosts.host(verb, node)
            except RuntimeError:
                pass  # it is up, or on the network, already
    hosts.on("head", "scontrol", "update", "nodename=node[1-3]", "state=resume", user="root")
    for system in BOTH:
        hosts.bring_up(system)


def committed_once(run: Run, n: int) -> None:
    """All is done, and no target was ever tried again for a fault of its own."""
    assert run.wait(240) == 0, run.console()
    assert run.out().split()[-1] == str(n * (n - 1) // 2)
    status = run.status()
    assert status["counts"]["done"] == n + 2
    assert status["retries"] == 0


def on_node(run: Run, node: str) -> list[str]:
    """The numbers of the targets that run there and are not done."""
    begun = {(line[1], line[2]) for line in run.notes("begun")}
    done = {(line[1], line[2]) for line in run.notes("done")}
    return [number for number, where in begun - done if where == node]


def spread(make: Make, system: str, n: int, seconds: float, *more: str) -> Run:
    """A run with a worker on each node, all of them busy."""
    apart = {"gridengine": ["-l h_vmem=40G"], "slurm": ["--exclusive"]}[system]
    words = [f"--launcher-args={word}" for word in apart]
    run = make(system, "naps", str(n), str(seconds)).start("--workers", "3:3", "--lost-after", "20s", *words, *more)
    run.until(lambda: {line[2] for line in run.notes("begun")} >= {"node1", "node2", "node3"}, "work on all nodes")
    return run


def test_a_dead_node_costs_no_target_more_than_time(make: Make, whole: None) -> None:
    runs = [spread(make, system, 9, 8) for system in BOTH]
    hosts.host("kill", "node2")
    for run in runs:
        run.says("is lost", seconds=60)
        lost = on_node(run, "node2")
        assert lost
        committed_once(run, 9)
        again = Counter(line[1] for line in run.notes("begun"))
        assert all(again[number] == 2 for number in lost)


def test_a_node_that_is_cut_off_for_a_moment_goes_on_with_what_it_has(make: Make, whole: None) -> None:
    runs = [spread(make, system, 6, 14) for system in BOTH]
    hosts.host("cut", "node2")
    time.sleep(6)  # the length of the cut is what is tried here
    hosts.host("join", "node2")
    for run in runs:
        committed_once(run, 6)
        assert max(Counter(line[1] for line in run.notes("begun")).values()) == 1, "nothing was run twice"
        assert "is lost" not in run.console()


def test_a_node_that_comes_back_after_it_was_given_up_changes_nothing(make: Make, whole: None) -> None:
    runs = [spread(make, system, 9, 25) for system in BOTH]
    hosts.host("cut", "node3")
    for run in runs:
        run.says("is lost", seconds=60)
    hosts.host("join", "node3")
    for run in runs:
        committed_once(run, 9)
        done = Counter(line[1] for line in run.notes("done"))
        assert len(done) == 9
        run.until(lambda run=run: not run.jobs(), "all jobs to have left the queue, the one of the cut node too", 90)


def test_a_worker_that_somebody_ends_is_replaced_and_no_target_pays(make: Make) -> None:
    runs = [make(system, "naps", "4", "20").start("--workers", "2:2", "--lost-after", "30s") for system in BOTH]
    for run in runs:
        run.until(lambda run=run: len(run.notes("begun")) == 2, "two targets to run")
        run.cancel(run.jobs()[0])
    for run in runs:
        committed_once(run, 4)
        assert len(run.notes("begun")) == 5, "one was run twice"


def test_workers_whose_time_is_up_are_succeeded_in_time(make: Make) -> None:
    runs = [make(system, "naps", "30", "4").start("--workers", "2:2", "--worker-time", "60s") for system in BOTH]
    for run in runs:
        committed_once(run, 30)
        assert run.status()["lost"] <= 2
        assert len(run.workers()) >= 3
        assert "could not be started" not in run.console()


def test_a_second_start_of_a_workers_job_is_refused_while_the_first_is_at_work(make: Make) -> None:
    run = make("slurm", "naps", "1", "20").start("--workers", "1:1")
    run.until(lambda: run.notes("begun"), "the target to run")
    (worker,) = run.status()["workers"]
    program = f"{hosts.VENV}/bin/python {hosts.WORK}/src/jobtree/worker/__main__.py"
    twin = hosts.on("node2", "sh", "-c", f"{program} {run.tree} --in-batch --block {worker['block']} --index 0 2>&1")
    assert "started this worker twice" in twin
    committed_once(run, 1)
    assert len(run.notes("begun")) == 1


def test_a_worker_whose_job_was_started_again_after_it_was_killed_takes_its_place(make: Make) -> None:
    run = make("slurm", "naps", "3", "3").start("--workers", "1:1", "--slurm-requeue", "yes", "--lost-after", "30s")
    run.until(lambda: run.notes("begun"), "the target to run")
    (job,) = run.jobs()
    hosts.on("head", "scontrol", "requeue", job)
    committed_once(run, 3)


def test_workers_outlive_their_master_and_go_on_with_the_next_one(make: Make, system: str) -> None:
    run = make(system, "naps", "6", "12").start("--workers", "3:3")
    run.until(lambda: len(run.notes("begun")) == 3, "three targets to run")
    before = sorted(run.jobs())
    run.kill_master()
    run.start()
    committed_once(run, 6)
    assert max(Counter(line[1] for line in run.notes("begun")).values()) == 1, "what ran was adopted"
    assert sorted(before) == sorted(set(before)), "no second fleet"
    assert len(run.workers()) == 3


def test_a_restart_brings_no_second_fleet(make: Make, system: str) -> None:
    held = {"gridengine": "-h", "slurm": "--hold"}[system]
    run = make(system, "naps", "1", "1").start("--workers", "20:20", f"--launcher-args={held}")
    run.until(lambda: len(run.jobs()) == 20, "twenty jobs in the queue")
    before = sorted(run.jobs())
    run.kill_master()
    run.start()
    run.until(lambda: run.status()["state"] == "running", "the next master")
    hosts.on("head", *(("qrls", "-u", "hpc") if system == "gridengine" else ("scontrol", "release", before[0].partition("_")[0])))
    assert run.wait(120) == 0, run.console()
    status = run.status()
    assert [block["n"] for block in status["blocks"]] == [20], "they were adopted, and no others asked for"
    run.until(lambda: not run.jobs(), "those that were not needed to be taken back", 60)

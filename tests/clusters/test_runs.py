"""Whole runs on real clusters, as an ordinary user: from the first submission to the last worker's leave."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Callable

import pytest

from tests.clusters import hosts
from tests.clusters.hosts import Run

pytestmark = pytest.mark.timeout(400)
Make = Callable[..., Run]


def test_a_file_is_sorted(make: Make, system: str) -> None:
    run = make(system, "words", "--output", "sorted", "--lines-per-target", "20000", script="examples/sort.py")
    words = run.directory / "words"
    subprocess.run(["sh", "-c", f"seq 1 200000 | sort -R >{words}; chmod 644 {words}"], check=True)
    run.start("--workers", "4")
    assert run.wait() == 0, run.console()
    made = subprocess.run(["env", "LC_ALL=C", "sort", str(words)], capture_output=True, check=True).stdout
    assert (run.directory / "sorted").read_bytes() == made
    assert {host for _, host in run.workers()} <= {"node1", "node2", "node3"}
    run.until(lambda: not run.jobs(), "all jobs to have left the queue", 30)


def test_targets_find_what_the_masters_process_has(make: Make, system: str) -> None:
    run = make(system, "surroundings", JT_SECRET="tell nobody").start("--workers", "1")
    assert run.wait() == 0, run.console()
    found = ast.literal_eval(run.out())
    assert found["host"].startswith("node")
    assert (found["cwd"], found["umask"], found["secret"]) == (str(run.directory), 0o027, "tell nobody")
    assert found["argv"] == ["surroundings"]
    assert found["job"], "the batch system's own variables are the node's"
    assert found["arena"] is None, "what the job script has set is none of the targets' business"


def test_nobody_can_read_a_secret_from_what_is_submitted_or_runs(make: Make, system: str) -> None:
    secret = "ahtiechae8Oh"
    run = make(system, "naps", "3", "15", JT_SECRET=secret).start("--workers", "3")
    run.until(lambda: len(run.notes("begun")) == 3, "three targets to run")
    keys = json.loads((run.tree / "connection").read_text())
    hidden = [secret, keys["worker_secret"], (run.tree / "server.key").read_text().split()[1]]
    seen = _what_the_system_shows(run)
    assert run.status()["blocks"][0]["name"] in seen, "we looked in the right place"
    for node in ("node1", "node2", "node3", "head"):
        for command, environment in hosts.processes(node):
            seen += command
            if "jobtree/worker" in command:
                seen += environment
    assert not [word for word in hidden if word in seen]
    assert run.wait() == 0, run.console()


def _what_the_system_shows(run: Run) -> str:
    if run.system == "slurm":
        jobs = {job.partition("_")[0] for job in run.jobs()}
        return hosts.on("head", "scontrol", "show", "job") + "".join(
            hosts.on("head", "scontrol", "write", "batch_script", job, "-") for job in jobs
        )
    jobs = {job.partition(".")[0] for job in run.jobs()}
    spool = hosts.on("head", "sh", "-c", "cat /var/spool/gridengine-jobtree/*/job_scripts/*", user="root")
    return spool + "".join(hosts.on("head", "qstat", "-j", job) for job in jobs)


def test_workers_come_by_load_and_leave_when_there_is_nothing_to_do(make: Make, system: str) -> None:
    run = make(system, "waves", "3", "18", "1", "1", "1", "1", "18").start("--workers", "1:6", "--worker-idle", "3s")
    run.until(lambda: len(run.jobs()) == 6, "six workers for eighteen targets")
    run.until(lambda: len(run.jobs()) == 1 and len(run.notes("done")) >= 18, "all but one to be sent home")
    run.until(lambda: len(run.jobs()) > 3, "more of them to come back")
    assert run.wait() == 0, run.console()
    assert len(run.notes("done")) == len(run.notes("begun")) == 40
    assert "lost" not in run.console()
    blocks = run.status()["blocks"]
    assert max(block["n"] for block in blocks) > 1, "what is wanted at once is asked for at once"
    assert len(blocks) <= 6, blocks


def test_fifty_workers(make: Make, system: str) -> None:
    run = make(system, "naps", "400", "0.5").start("--workers", "50:50", "--worker-memory", "128M")
    assert run.wait(300) == 0, run.console()
    assert len(run.workers()) == 50
    assert {host for _, host in run.workers()} == {"node1", "node2", "node3"}
    assert len(run.notes("done")) == len(run.notes("begun")) == 400
    run.until(lambda: not run.jobs(), "all jobs to have left the queue", 60)


def test_a_worker_may_be_started_by_hand_on_a_node(make: Make) -> None:
    run = make("slurm", "naps", "4", "0.2").start("--workers", "0")
    run.until(lambda: (run.tree / "connection").exists(), "the connection file")
    hosts.on("node2", str(hosts.VENV / "bin/python"), "-m", "jobtree", "worker", str(run.tree), "--cpus", "2")
    assert run.wait() == 0, run.console()
    assert {line[2] for line in run.notes("begun")} == {"node2"}


def test_what_a_worker_prints_itself_is_shown_by_the_logs(make: Make, system: str) -> None:
    run = make(system, "naps", "2", "0.1").start("--workers", "1")
    assert run.wait() == 0, run.console()
    ((name, _),) = run.workers()
    assert "INFO leaving: the master says: all targets are done" in run.verb("logs", "--own", "--worker", name, str(run.tree))

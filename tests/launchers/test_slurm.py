"""What Slurm is asked, and what is read from its answers, which were recorded from a real one (22.05)."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers import slurm
from jobtree.launchers.base import SubmitBusy, SubmitRefused, WorkerSize
from jobtree.launchers.slurm import SlurmLauncher


def test_a_job_says_all_that_sites_decide_otherwise(tmp_path: Path) -> None:
    options = SlurmLauncher.Options(queue="main", account="lab", qos="long", args=("--exclusive",))
    size = WorkerSize(cpus=2.5, memory_bytes=1 << 30, gpus=1, walltime_seconds=3599)
    job = SlurmLauncher(["/py", "a worker"], tmp_path, options).job("jt-a-1", 4, size)
    words = set(job.argv)
    assert {"--array=0-3", "--no-requeue", "--cpus-per-task=3", "--mem=1536M", "--time=60", "--gres=gpu:1"} <= words
    assert {"--partition=main", "--account=lab", "--qos=long", "--nodes=1", "--ntasks=1"} <= words
    assert job.argv[-1] == "--exclusive", "what the user adds comes last, and wins"
    assert "exec /py 'a worker' --block jt-a-1 --index \"$index\"" in job.script


def test_memory_can_be_asked_for_by_cpu(tmp_path: Path) -> None:
    launcher = SlurmLauncher(["/py"], tmp_path, SlurmLauncher.Options(memory_per="cpu"))
    assert "--mem-per-cpu=768M" in launcher.job("jt-a-1", 1, WorkerSize(cpus=2, memory_bytes=1 << 30)).argv


@pytest.mark.parametrize(
    ("line", "state", "reason"),
    [
        ("1149_5|jt-a-1|RUNNING|None|node2", "running", "node2"),
        ("1149_5|jt-a-1|PENDING|Resources|", "pending", "Resources"),
        ("1149_5|jt-a-1|PENDING|(Priority)|", "pending", "Priority"),
        ("1149_5|jt-a-1|PENDING|JobHeldUser|", "held", "JobHeldUser (scontrol release lets it go)"),
        (
            "1149_5|jt-a-1|PENDING|launch failed requeued held|",
            "held",
            "launch failed requeued held (scontrol release lets it go)",
        ),
        ("1149_5|jt-a-1|COMPLETED|None|node1", "ended", "COMPLETED"),
        ("1149_5|jt-a-1|NODE_FAIL|NodeDown|node1", "ended", "NODE_FAIL (NodeDown)"),
        ("1149_5|jt-a-1|CANCELLED|None|", "ended", "CANCELLED"),
        ("1149_5|jt-a-1|SUSPENDED|None|node1", "running", "it is suspended on node1"),
        ("1149_5|jt-a-1|NEWWORD|None|node1", "unknown", "state 'NEWWORD'"),
    ],
)
def test_states_and_reasons(line: str, state: str, reason: str) -> None:
    (listed,) = slurm.jobs_in(line + "\n")
    assert (listed.block, listed.name) == (f"slurm:{line.partition('|')[0]}", "jt-a-1")
    assert (str(listed.state), listed.reason) == (state, reason)


def test_what_can_never_start_comes_with_advice() -> None:
    (listed,) = slurm.jobs_in("7_0|jt-a-1|PENDING|PartitionTimeLimit|\n")
    assert "--worker-time" in listed.reason


def test_what_is_no_listing_is_an_error() -> None:
    with pytest.raises(LauncherError, match="makes no sense"):
        slurm.jobs_in("<html>503</html>\n")


def test_how_jobs_ended_is_read_from_the_accounting() -> None:
    text = "12_0|COMPLETED|0:0\n12_1|CANCELLED by 1001|0:15\n12_2|RUNNING|0:0\n12_3|TIMEOUT|0:15\n"
    assert slurm.ends_in(text) == {
        "slurm:12_0": "COMPLETED (exit code 0:0)",
        "slurm:12_1": "CANCELLED by 1001 (exit code 0:15)",
        "slurm:12_3": "TIMEOUT (exit code 0:15)",
    }


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("infinite", None), ("1:00", 60.0), ("30", 1800.0), ("12:00:00", 43200.0), ("2-00:00:00", 172800.0), ("1-12", 129600.0)],
)
def test_limits_of_partitions(words: str, seconds: float | None) -> None:
    assert slurm.seconds_in(words) == seconds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sbatch: error: invalid partition specified: nosuch", SubmitRefused),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", SubmitBusy),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", SubmitBusy),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: job submit limit", SubmitBusy),
    ],
)
def test_a_refusal_is_final_unless_it_will_pass(tmp_path: Path, text: str, kind: type[LauncherError]) -> None:
    assert type(SlurmLauncher(["/py"], tmp_path)._judged(LauncherError(["sbatch"], 1, text))) is kind

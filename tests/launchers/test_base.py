from __future__ import annotations

from jobtree.launchers.base import WorkerSize, worker_command


def test_a_size_is_written_for_people() -> None:
    assert str(WorkerSize(0.5, 256 << 20)) == "0.5 cpus, 256M memory"
    assert str(WorkerSize(4, 2 << 30, gpus=1, walltime_seconds=5400)) == "4 cpus, 2G memory, 1 gpus, 1h30m"


def test_the_block_and_the_index_end_a_workers_command_line() -> None:
    assert worker_command(["jobtree", "worker", "/t"], "jt-a-1", 3) == [
        *("jobtree", "worker", "/t"),
        *("--block", "jt-a-1", "--index", "3"),
    ]

"""The contract of a launcher against a real batch system. Runs on head, by test_contract.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree.launchers.base import Launcher, WorkerSize
from jobtree.launchers.gridengine import GridEngineLauncher
from jobtree.launchers.slurm import SlurmLauncher
from jobtree.launchers.testing import LauncherContract

SMALL = WorkerSize(cpus=1, memory_bytes=128 << 20, walltime_seconds=600)


class TestGridEngine(LauncherContract):
    submit_program = "qsub"
    list_program = "qstat"
    size = SMALL

    @pytest.fixture
    def launcher(self, tmp_path: Path) -> Launcher:
        return GridEngineLauncher(self.worker(tmp_path), tmp_path)


class TestSlurm(LauncherContract):
    submit_program = "sbatch"
    list_program = "squeue"
    size = SMALL

    @pytest.fixture
    def launcher(self, tmp_path: Path) -> Launcher:
        return SlurmLauncher(self.worker(tmp_path), tmp_path)

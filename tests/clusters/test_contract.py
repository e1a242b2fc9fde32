"""The launchers of Grid Engine and Slurm keep their contract with the real systems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clusters import hosts

TESTS = {"gridengine": "TestGridEngine", "slurm": "TestSlurm"}


@pytest.mark.timeout(400)
def test_the_contract_is_kept(clusters: None, system: str) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-m",
        "clusters",
        "--timeout",
        "120",
    ]
    done = subprocess.run(
        [str(hosts.SCRIPTS / "on"), "-u", "root", "-d", str(hosts.SOURCE), "head", *words, f"{_here()}::{TESTS[system]}"],
        capture_output=True, text=True, check=False, cwd=hosts.SOURCE, timeout=380,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def _here() -> Path:
    return Path(__file__).with_name("on_head.py")

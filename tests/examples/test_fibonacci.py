from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jobtree
from examples import fibonacci

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("n", "number"), [(0, 0), (1, 1), (2, 1), (10, 55)])
def test_the_promised_sum_is_the_number(n: int, number: int) -> None:
    assert jobtree.run(fibonacci.fibonacci(n), inline=True) == number


def test_the_script_prints_the_number(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples/fibonacci.py"), "9", "--tree", str(tmp_path / "tree")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "34"

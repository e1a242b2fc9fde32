"""The public API is typed as users' checkers see it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PROGRAM = HERE / "public_api.py"
PYRIGHT = shutil.which("pyright") or shutil.which("pyright", path=Path(sys.executable).parent)


def test_mypy_infers_the_public_api() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", str(PROGRAM)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed")
def test_pyright_infers_the_public_api() -> None:
    assert PYRIGHT is not None
    checked = subprocess.run(
        [PYRIGHT, "--pythonpath", sys.executable, str(PROGRAM)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr

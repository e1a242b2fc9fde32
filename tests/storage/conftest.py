"""Tests of what a disk can do to a run; each has a project whose scripts may import `broken_disk`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import broken_disk
from tests.support.scripts import Project
from tests.support.scripts import project as open_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with open_project(tmp_path) as made:
        shutil.copy(broken_disk.__file__, tmp_path / "broken_disk.py")
        yield made


@pytest.fixture
def lasting_project(tmp_path: Path) -> Iterator[Project]:
    """For tests that leave workers to their patience on purpose: they are ended afterwards."""
    made = Project(tmp_path)
    shutil.copy(broken_disk.__file__, tmp_path / "broken_disk.py")
    yield made
    made.close(kill=True)

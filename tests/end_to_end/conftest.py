"""Every test here has a project: a directory with the script of a user, in which nothing may stay alive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scripts import Project
from tests.support.scripts import project as open_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with open_project(tmp_path) as made:
        yield made


@pytest.fixture
def lasting_project(tmp_path: Path) -> Iterator[Project]:
    """For tests that leave workers to their patience on purpose: they are ended afterwards."""
    made = Project(tmp_path)
    yield made
    made.close(kill=True)

"""Tests of old scripts have a project, as end-to-end tests do: most of what they are promised shows only in real runs."""

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

"""Classic bugs brought back one at a time: each must turn a test red."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.museum import Exhibit, copy_project, exhibits
from tests.museum.__main__ import visit

EXHIBITS = exhibits()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_the_patch_still_fits(exhibit: Exhibit, project: Path) -> None:
    assert exhibit.patch(project, check=True) == ""


@pytest.mark.torture
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_somebody_notices(exhibit: Exhibit) -> None:
    noticed, said = visit(exhibit)
    assert noticed, f"{exhibit.bug}: {said}"


@pytest.mark.torture
def test_without_a_bug_all_is_green(project: Path) -> None:
    """A test that is red anyway would notice nothing."""
    asked = tuple(sorted({test for exhibit in EXHIBITS for test in exhibit.red}))
    assert Exhibit(Path("none"), "none", asked).tests_fail(project) == ""

"""The example of a launcher by a third party: it is installed, keeps the contract, and a run uses it by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobtree.launchers.base import Launcher
from jobtree.launchers.testing import LauncherContract

PLUGIN = Path(__file__).parents[2] / "examples" / "launcher_plugin"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch system of one file, on PATH."""
    home = tmp_path / "shelf-home"
    home.mkdir()
    monkeypatch.setenv("SHELF_HOME", str(home))
    monkeypatch.setenv("PATH", f"{PLUGIN}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.syspath_prepend(str(PLUGIN))
    return home


@pytest.mark.slow
class TestShelf(LauncherContract):
    submit_program = "shelf"
    list_program = "shelf"

    @pytest.fixture
    def launcher(self, tmp_path: Path, shelf: Path) -> Launcher:
        from jobtree_shelf import ShelfLauncher

        made: Launcher = ShelfLauncher(self.worker(tmp_path), tmp_path)
        return made


def test_an_installed_plugin_is_a_launcher_like_ours(tmp_path: Path, shelf: Path) -> None:
    place = tmp_path / "installed"
    (place / "jobtree_shelf-1.0.dist-info").mkdir(parents=True)
    (place / "jobtree_shelf-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: jobtree-shelf\nVersion: 1.0\n")
    (place / "jobtree_shelf-1.0.dist-info" / "entry_points.txt").write_text(
        "[jobtree.launchers]\nshelf = jobtree_shelf:ShelfLauncher\n"
    )
    (place / "jobtree_shelf").symlink_to(PLUGIN / "jobtree_shelf")
    script = tmp_path / "script.py"
    script.write_text("import jobtree\nif __name__ == '__main__':\n    jobtree.main(jobtree.call(sum, [1, 2, 3]))\n")
    source = Path(__file__).parents[2] / "src"
    words = [
        sys.executable,
        str(script),
        "--launcher",
        "shelf",
        "--workers",
        "2",
        "--shelf-tag",
        "blue",
        "--tree",
        str(tmp_path / "T"),
    ]
    around = {**os.environ, "PYTHONPATH": f"{place}:{source}"}
    done = subprocess.run(words, env=around, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "6"
    listed = subprocess.run(
        [sys.executable, "-m", "jobtree", "launchers", "--settings"], env=around, capture_output=True, text=True, check=True,
        cwd=tmp_path,
    ).stdout  # fmt: skip
    assert "--shelf-tag" in listed
    assert not any(path.name.endswith(".running") and not path.with_suffix(".status").exists() for path in shelf.iterdir())

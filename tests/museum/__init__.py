"""The museum: patches that each bring back one classic bug, and the tests that must notice.

A guard that nobody can take out unnoticed is one that nobody loses by accident. Each file in ``patches/`` begins with two
lines, ``Bug:`` (what it brings back) and ``Red:`` (the tests of which at least one has to fail, as pytest takes them); then
comes the patch. ``python -m tests.museum [NAME...]`` applies each to a copy of the project and runs its tests there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent / "patches"
#: What the tests need of the project, and what of it would only cost time to copy.
PARTS = ("src", "tests", "examples", "docs", "benchmarks", "pyproject.toml", "Makefile", "README.md", "LICENSE")
LITTER = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".hypothesis", "*.pyc")
#: Seconds for the tests of one exhibit; a test that hangs has noticed, too.
PATIENCE = 300


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One bug: its patch, what it does, and who must notice."""

    path: Path
    bug: str
    red: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.path.stem

    def patch(self, root: Path, *, check: bool = False) -> str:
        """Apply it to the project at ``root``, or only look whether it could be; what went wrong, or nothing."""
        # One line of context is enough: an exhibit shall survive changes around it, and not those of the guard itself.
        command = ["git", "apply", "-C1", *(["--check"] if check else []), str(self.path)]
        ended = subprocess.run(command, cwd=root, env=_outside_of_git(root), capture_output=True, text=True, check=False)
        return ended.stderr.strip() if ended.returncode else ""

    def tests_fail(self, root: Path) -> str:
        """The first test that fails at ``root``; nothing if all of them pass."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout", "120", *self.red]
        environment = {**_outside_of_git(root), "PYTHONPATH": str(root / "src")}
        try:
            ended = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            return "(a test that hangs)"
        if ended.returncode == 0:
            return ""
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
        if ended.returncode != 1 and "Timeout" not in ended.stdout + ended.stderr:
            raise RuntimeError(f"{self.name}: pytest ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return found[1] if found else "(a test that hangs)"


def exhibits() -> list[Exhibit]:
    """All of them, by name."""
    return [_read(path) for path in sorted(PATCHES.glob("*.patch"))]


def copy_project(into: Path) -> Path:
    """A copy of the project that may be spoilt."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, into / part, ignore=LITTER)
        elif source.exists():
            shutil.copy2(source, into / part)
    return into


def _read(path: Path) -> Exhibit:
    head = dict(re.findall(r"^(Bug|Red): (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    missing = {"Bug", "Red"} - head.keys()
    if missing:
        raise ValueError(f"{path} has no line '{', '.join(sorted(missing))}: ...'")
    return Exhibit(path, head["Bug"], tuple(head["Red"].split()))


def _outside_of_git(root: Path) -> dict[str, str]:
    """An environment in which git takes no directory above ``root`` for a repository that the patch were meant for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTEST_", "COV_"))}
    return {**kept, "GIT_CEILING_DIRECTORIES": str(root.resolve().parent)}

"""The old sort script, run again and again with the same jobTree until it is done, as the gnarly test of old did."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import examples.old_sort as old_sort
from jobtree.scripttree.common import runJobTreeStats, runJobTreeStatusAndFailIfNotComplete
from tests.support.scripts import Project

SCRIPT = Path(old_sort.__file__)


def make_file(path: Path, lines: int) -> list[str]:
    letters = [random.choices("abcdefghijklmnopqrstuvwxyz", k=10) for _ in range(lines)]
    made = ["".join(line) + "\n" for line in letters]
    path.write_text("".join(made))
    return sorted(made)


def sort_until_done(project: Project, lines: int, n: int, *words: str) -> int:
    """How often the script had to be run."""
    wanted = make_file(project.directory / "file", lines)
    for starts in range(1, 100):
        ended = project.run(
            SCRIPT, "--jobTree", "T", "--fileToSort", "file", "--N", n, "--jobTime", "1.0", "--maxCpus", "20", *words, status=None
        )
        assert ended.status == (1 if "failed jobs" in ended.last_error else 0), ended.err
        try:
            runJobTreeStatusAndFailIfNotComplete(str(project.tree))
        except RuntimeError:
            assert ended.status == 1
            continue
        assert ended.status == 0
        assert (project.directory / "file").read_text() == "".join(wanted)
        return starts
    raise AssertionError("it never came to its end")


def test_a_file_is_sorted_in_one_go_and_has_statistics(project: Project) -> None:
    assert sort_until_done(project, 2000, 5000, "--stats") == 1
    runJobTreeStats(str(project.tree), str(project.directory / "stats"))
    words = (project.directory / "stats").read_text().split()
    assert {"Setup", "down", "up", "cleanup"} <= set(words)
    made = list(project.tree.glob("tmp/*/*"))
    assert made == []


def test_a_file_is_sorted_by_functions_that_fail_half_of_the_time(project: Project) -> None:
    assert sort_until_done(project, 500, 2000, "--fail", "--retryCount", "2") >= 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_file_is_sorted_though_everything_fails_half_of_the_time(project: Project) -> None:
    sort_until_done(project, 10_000, 10_000, "--fail", "--retryCount", "2")


def test_a_file_is_sorted_by_acid_test_though_half_of_all_attempts_are_killed(project: Project) -> None:
    assert sort_until_done(project, 500, 2000, "--batchSystem", "acidTest", "--fail") >= 1


@pytest.mark.parametrize("lines", [0, 1, 2, 7, 100])
def test_merging_and_copying_ranges(tmp_path: Path, lines: int) -> None:
    wanted = make_file(tmp_path / "file", lines)
    size = (tmp_path / "file").stat().st_size
    if lines > 1:
        middle = old_sort.getMidPoint(str(tmp_path / "file"), 0, size)
        assert (tmp_path / "file").read_text()[middle] == "\n"
    else:
        middle = size - 1
    halves = [str(tmp_path / name) for name in "ab"]
    for half, start, end in zip(halves, (0, middle + 1), (middle + 1, size), strict=True):
        old_sort.copySubRangeOfFile(str(tmp_path / "file"), start, end, half)
        old_sort.sort(half)
    old_sort.merge(*halves, str(tmp_path / "merged"))
    assert (tmp_path / "merged").read_text() == "".join(wanted)

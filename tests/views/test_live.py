"""The views on a real run: while it goes on, when its master was killed, after a restart, and of a copy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from jobtree import Tree
from jobtree.views.schema import State
from tests.support.scripts import Project, poll
from tests.support.scripts import project as open_project

#: Leaves wait for a file before they end; one fails at first, one always until `mended` is there; one is killed.
SCRIPT = """
    import os, pathlib, signal, sys, time
    import jobtree

    here = pathlib.Path(__file__).parent

    @jobtree.target
    def leaf(target, n):
        print("leaf", n, flush=True)
        target.log(f"logged {n}", level="WARNING" if n == 2 else "INFO")
        while not (here / f"go{n}").exists():
            time.sleep(0.01)
        print("oops" if n == 1 else "well", file=sys.stderr)
        if n == 1 and target.attempt == 1:
            raise RuntimeError("the first time")
        if n == 2 and not (here / "mended").exists():
            return {}["chr9"]
        return n

    @jobtree.target
    def top(target):
        return target.set_follow_on(total(target.add_children([leaf(n) for n in range(4)])))

    @jobtree.target
    def total(parts):
        return sum(parts)

    if __name__ == "__main__":
        print(jobtree.run(top(), tree=here / "T", workers=4, worker_cpus=1, retries=1))
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with open_project(tmp_path) as made:
        yield made


def verb(project: Project, *words: str) -> str:
    """What a verb prints of the project's tree."""
    return project.run("-m", "jobtree", words[0], "T", *words[1:]).out


def lines_of(stream: IO[str], count: int) -> list[str]:
    """The next lines."""
    return [stream.readline().rstrip("\n") for _ in range(count)]


def test_all_views_tell_the_same_of_a_run_with_failures_retries_and_a_restart(project: Project) -> None:
    run = project.start(project.write("script.py", SCRIPT))
    poll(lambda: project.tree.joinpath("journal", "FORMAT").exists())
    tree = Tree(project.tree)
    poll(lambda: len([line for line in tree.logs() if line.stream == "out"]) == 4)

    status = tree.status()
    assert status.state is State.RUNNING
    assert (status.counts.running, status.counts.waiting, status.counts.held) == (4, 1, 1)
    assert sum(worker.holding for worker in status.workers) == 4
    assert "running" in verb(project, "status")
    assert "is held by pid" in project.run("-m", "jobtree", "clean", "T", status=5).last_error

    command = [sys.executable, "-m", "jobtree", "logs", "-f", "T"]
    follower = subprocess.Popen(
        command, cwd=project.directory, env=project.environment, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert follower.stdout is not None
    seen = lines_of(follower.stdout, 8)
    assert sorted(line.split("| ")[1] for line in seen) == sorted(
        [*(f"leaf {n}" for n in range(4)), *(f"{'WARNING' if n == 2 else 'INFO'}: logged {n}" for n in range(4))]
    )
    (project.directory / "go0").touch()
    assert lines_of(follower.stdout, 1)[0].endswith("err| well"), "it comes while the others still run"

    for n in (1, 2, 3):
        (project.directory / f"go{n}").touch()
    ended = run.wait()
    rest = follower.stdout.read().splitlines()
    assert follower.wait(60) == 0
    assert ended.status == 1
    assert "KeyError: 'chr9'" in ended.err
    assert [line for line in rest if line.startswith("leaf:3[2] out|")] == ["leaf:3[2] out| leaf 1"], "follows over attempts"
    assert sorted({*seen, *rest}) == sorted({*verb(project, "logs").splitlines()} - {"leaf:2[1] err| well"})

    _check_failed(project)
    (project.directory / "mended").touch()
    restarted = project.run("-m", "jobtree", "restart", "T", "--progress", "none")
    assert restarted.err == "jobtree: leaf:4: logged 2\n", "of what is said only the warning is shown"
    _check_complete(project)
    shutil.copytree(project.tree, project.directory / "copy")
    assert Tree(project.directory / "copy").stats().names == Tree(project.tree).stats().names
    assert Tree(project.tree).result() == 6


def _check_failed(project: Project) -> None:
    status = Tree(project.tree).status()
    assert status.state is State.FAILED
    (failure,) = status.failures
    assert (failure.name, failure.cause, failure.attempts, failure.type) == ("leaf", "exception", 2, "KeyError")
    assert failure.where.endswith("in leaf")
    assert "Traceback" in failure.output
    said = verb(project, "status", "--verbose")
    assert "1 of 4 leaf failed:" in said
    assert """return {}["chr9"]""" in said
    assert {line.split("[")[0] for line in verb(project, "logs", "--failed").splitlines()} == {f"leaf:{failure.id}"}
    assert len(verb(project, "logs", "--level", "WARNING").splitlines()) == 2, "two attempts"


def _check_complete(project: Project) -> None:
    status = json.loads(verb(project, "status", "--json", "--fail-if-not-complete"))
    stats = json.loads(verb(project, "stats", "--json"))
    assert (status["state"], status["counts"]["done"], status["retries"]) == ("complete", 6, 3)
    assert (stats["targets"]["count"], stats["targets"]["failed"], stats["targets"]["retries"]) == (6, 3, 3)
    assert {one["name"]: one["count"] for one in stats["names"]} == {"top": 1, "leaf": 4, "total": 1}
    rows = [json.loads(line) for line in project.run("-m", "jobtree", "journal", "dump", "T").lines]
    walls = [row["wall"] for document in rows if document["type"] == "AttemptsCommitted" for row in document["rows"]]
    assert stats["targets"]["time"]["total"] == pytest.approx(sum(walls))
    assert stats["targets"]["time"]["max"] == max(walls)
    _check_other_views(project, walls)
    assert "the journal is sound" in project.run("-m", "jobtree", "journal", "verify", "T").out


def _check_other_views(project: Project, walls: list[float]) -> None:
    """Report, trace, screen and the old commands count what status and stats do."""
    report = project.run("-m", "jobtree", "report", "T", "--output", "-").out
    data = json.loads(report.partition("id='data'>")[2].partition("</script>")[0])
    assert sum(bar[4] for bar in data["timeline"]["bars"]) == 9, "six good ends, three bad ones"
    assert sum(bar[5] for bar in data["timeline"]["bars"]) == 3
    assert sum(place["value"] for place in data["recursion"]) >= sum(walls)
    verb(project, "stats", "--trace", "trace.json")
    events = json.loads((project.directory / "trace.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) == 9
    assert "6 of 6 targets  3 retried" in verb(project, "top", "--once")
    old = "import sys; from jobtree.cli.old_views import stats, status; sys.exit(status(['T']) or stats(['T', '--raw']))"
    said = project.run("-c", old).out
    assert said.startswith("There are 0 active jobs, 0 parent jobs with children, 0 totally failed jobs")
    assert '<target total_number="6"' in said


def test_a_run_whose_master_is_killed_has_stopped_and_can_be_cleaned_away(project: Project) -> None:
    run = project.start(project.write("script.py", SCRIPT))
    poll(lambda: project.tree.joinpath("journal", "FORMAT").exists())
    tree = Tree(project.tree)
    poll(lambda: tree.status().counts.running == 4)
    run.kill()
    assert tree.status().state is State.STOPPED
    assert "jobtree restart T goes on from here" in verb(project, "status")
    for n in range(4):
        (project.directory / f"go{n}").touch()
    (project.directory / "mended").touch()
    project.run("-m", "jobtree", "restart", "T")
    assert tree.status().state is State.COMPLETE
    verb(project, "clean")
    assert not project.tree.exists()

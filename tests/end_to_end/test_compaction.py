"""Journals that are compacted under real masters, and compactors and masters that are killed meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jobtree
from jobtree._compact import compact
from jobtree.files import Files
from jobtree.views.history import History
from jobtree.views.stats import stats_of
from tests.support.scripts import SOURCE, Project, Running, poll
from tests.views.scribe import Scribe
from tests.views.test_parts import run_on

#: A loop whose journal is worth a snapshot every few dozen targets; each target notes its number before it ends.
LOOP = """
import sys, jobtree
from jobtree.master import compaction

compaction.WORTH_BYTES = compaction.WORTH_AT_THE_END_BYTES = 20_000
compaction.LOOK_EVERY = 0.01

@jobtree.target
def leaf(n):
    return n

@jobtree.target
def add(total, n):
    return total + n

@jobtree.target
def loop(target, n, total):
    with open("ledger", "a") as file:
        file.write(f"{n}\\n")
    if n == 0:
        return total
    return target.set_follow_on(loop(n - 1, target.add_child(add(total, target.add_child(leaf(n))))))

if __name__ == "__main__":
    print(jobtree.run(loop(int(sys.argv[1]), 0), tree="T", workers=1))
"""


def snapshots(project: Project) -> list[Path]:
    """Those that are there now."""
    return sorted(project.tree.glob("journal/snap-*.snap"))


def test_a_run_compacts_its_journal_and_views_and_results_are_whole(project: Project) -> None:
    script = project.write("script.py", LOOP)
    assert project.run(script, 150).lines[-1:] == [str(sum(range(151)))]
    assert len(snapshots(project)) == 2
    segments = sorted(project.tree.glob("journal/seg-*"))
    assert segments[0].name != "seg-00000001-000000000000000.log"
    history = History(str(project.tree))
    history.poll()
    assert {name: sum(tally) for name, tally in history.tree.tallies.items()} == {"loop": 151, "leaf": 150, "add": 150}
    assert stats_of(history).targets.count == 451
    assert project.run(script, 150).lines[-1:] == [str(sum(range(151)))], "the result is in the snapshot now"
    verified = project.run("-m", "jobtree", "journal", "verify", "T")
    assert "the journal is sound" in verified.out
    assert snapshots(project)[-1].name in verified.out


@pytest.mark.slow
def test_masters_that_are_killed_while_they_compact_lose_nothing(project: Project) -> None:
    script = project.write("script.py", LOOP)
    kills = 0
    for _ in range(8):
        kills += _killed_after_a_snapshot(project, project.start(script, 300))
    assert kills >= 3
    ended = project.run(script, 300)
    assert ended.lines[-1:] == [str(sum(range(301)))]
    history = History(str(project.tree))
    history.poll()
    assert {name: sum(tally) for name, tally in history.tree.tallies.items()} == {"loop": 301, "leaf": 300, "add": 300}
    assert set(project.noted()) == {str(n) for n in range(301)}
    assert stats_of(history).targets.count == 901, "each was committed once, and is counted once"


def _killed_after_a_snapshot(project: Project, running: Running) -> bool:
    """Kill a master as soon as there is another snapshot; False if it had ended before."""
    known = snapshots(project)
    poll(lambda: snapshots(project) != known or running.process.poll() is not None)
    if running.process.poll() is not None:
        return False
    running.kill()
    return True


#: Compacts a tree, and is killed at one of its operations on the disk.
DYING = """
import os, signal, sys
from jobtree._compact import compact
from jobtree.files import Files

left = int(sys.argv[2])

class Dying(Files):
    pass

def dying(kind):
    action = getattr(Files, kind)
    def act(self, *args):
        global left
        left -= 1
        if left < 0:
            if kind == "write":
                action(self, args[0], args[1][: len(args[1]) // 2], args[2])
            os.kill(os.getpid(), signal.SIGKILL)
        return action(self, *args)
    return act

for kind in ("create", "write", "sync", "sync_data", "close", "rename", "sync_directory", "unlink"):
    setattr(Dying, kind, dying(kind))
compact(Dying(), sys.argv[1])
"""


def figures(tree: str) -> Any:
    """What a view shows."""
    history = History(tree)
    history.poll()
    return stats_of(history, 2e6).names, history.tree.tallies


@pytest.mark.slow
def test_a_compactor_that_is_killed_at_any_step_leaves_the_tree_as_it_was(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", segment_bytes=2000)
    scribe.begin()
    scribe.join(1)
    target = run_on(scribe, 1, 10)
    scribe.journal.seal()
    assert compact(Files(), scribe.path) is not None
    run_on(scribe, target, 10)
    scribe.journal.seal()
    before = figures(scribe.path)
    step, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        argv = [sys.executable, "-c", DYING, scribe.path, str(step)]
        status = subprocess.run(argv, env={"PYTHONPATH": str(SOURCE)}, check=False).returncode
        assert figures(scribe.path) == before
        step += 1
        if status == -signal.SIGKILL and len(list((tmp_path / "tree/journal").glob("snap-*.snap"))) == 2:
            break  # it is there: there is nothing left to do for another one
    assert step > 15
    assert figures(scribe.path) == before
    scribe.close()


def test_the_compactor_says_what_it_has_made_in_one_line_of_json(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree", segment_bytes=2000)
    scribe.begin()
    scribe.join(1)
    run_on(scribe, 1, 3)
    scribe.journal.seal()
    command = [sys.executable, "-P", str(Path(jobtree.__file__).with_name("_compact.py")), scribe.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["record"] == scribe.journal.next_record
    assert (Path(scribe.directory.path) / said["name"]).exists()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "", "there is nothing more to do"
    (Path(scribe.directory.path) / "FORMAT").write_text("nonsense")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) == 1
    scribe.close()

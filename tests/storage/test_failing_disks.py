"""Real runs on disks that fail: each pauses and goes on, or ends with status 4 and one line; and a restart completes it."""

from __future__ import annotations

import errno
import os

import pytest

from tests.support.scripts import Project

SCRIPT = """
import os, sys, time, jobtree

@jobtree.target
def leaf(i, load):
    with open("ledger", "a") as file:
        file.write(f"{i}\\n")
    print(f"leaf {i}")
    return load[:3]

@jobtree.target
def total(parts):
    return len(parts)

@jobtree.target
def root(target):
    loads = [bytes([i]) * (70_000 if i % 10 == 0 else 10) for i in range(40)]
    return target.set_follow_on(total([target.add_child(leaf(i, load)) for i, load in enumerate(loads)]))

if __name__ == "__main__" or os.environ.get("BREAK_RUNNERS"):
    import broken_disk
    broken_disk.arm()
if __name__ == "__main__":
    print(jobtree.run(root(), tree="T", workers=1, worker_patience=1, adopt_grace=1, progress="plain"))
"""


def start(project: Project, orders: str, status: int, **environment: str) -> str:
    """Run the script on a disk that breaks; what was said on stderr."""
    project.write("script.py", SCRIPT)
    project.write("break", orders)
    ended = project.run("script.py", status=status, **environment)
    assert (project.directory / "broken").exists(), "nothing has failed"
    assert status == 1 or "Traceback" not in ended.err, ended.err
    (project.directory / "break").unlink()
    return ended.err


def complete(project: Project) -> None:
    """The next start completes the run; who reads it then finds nothing wrong."""
    ended = project.run("script.py")
    assert ended.lines[-1] == "40"
    assert {int(line) for line in project.noted()} == set(range(40))
    assert "sound" in project.run("-m", "jobtree", "journal", "verify", "T").out


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        pytest.param("link EIO 0 1 journal/epoch", "T cannot be used: Input/output error", marks=pytest.mark.slow),
        pytest.param("sync EIO 0 1 journal/seg", "journal could not be synced", marks=pytest.mark.slow),
        ("sync_data EIO 3 1 journal/seg", "journal could not be synced"),
        pytest.param("sync_data ENOSPC 2 -1 journal/seg", "journal could not be synced", marks=pytest.mark.slow),
        ("write EIO 4 1 journal/seg", "journal cannot be written: Input/output error"),
        pytest.param("write EROFS 3 -1 journal/seg", "journal cannot be written: Read-only file system", marks=pytest.mark.slow),
        pytest.param("sync_directory EIO 3 -1 T/journal", "journal could not be synced", marks=pytest.mark.slow),
        ("create ENOSPC 0 1 connection", "connection cannot be written: No space left on device"),
        pytest.param("write EDQUOT 0 -1 pause", "pause cannot be written: Disk quota exceeded", marks=pytest.mark.slow),
    ],
)
def test_a_master_whose_disk_fails_ends_with_status_4_and_one_line_and_a_restart_completes(
    project: Project, orders: str, words: str
) -> None:
    error = start(project, orders, status=4)
    last = error.strip().splitlines()[-1]
    assert words in last
    complete(project)


@pytest.mark.parametrize("number", [errno.ENOSPC, pytest.param(errno.EDQUOT, marks=pytest.mark.slow)])
def test_a_master_without_room_for_a_while_pauses_and_goes_on(project: Project, number: int) -> None:
    error = start(project, f"write,create,rename {errno.errorcode[number]} 5 3 journal/seg", status=0)
    assert f"the run is paused: no room to write the journal ({os.strerror(number)})" in error
    assert "the run goes on" in error
    complete(project)
    assert len(project.noted()) == 40, "nothing has run twice"


def test_a_run_goes_on_without_the_output_that_there_is_no_room_for(project: Project) -> None:
    error = start(project, "create,write ENOSPC 0 -1 T/logs", status=0)
    assert error.count("output of targets cannot be kept") == 1
    complete(project)


@pytest.mark.slow
def test_a_target_that_cannot_write_its_payloads_fails_with_a_cause_that_says_so(project: Project) -> None:
    error = start(project, "sync EIO 0 -1 T/blobs", status=1, BREAK_RUNNERS="1")
    assert "cannot write 70," in error
    assert "Input/output error" in error
    complete(project)


def test_a_target_that_has_no_room_for_its_payloads_waits_for_it(project: Project) -> None:
    start(project, "create,write ENOSPC 0 2 T/blobs", status=0, BREAK_RUNNERS="1")
    assert len(project.noted()) == 40, "nothing has run twice"
    complete(project)
    assert "no room for a payload" in project.run("-m", "jobtree", "logs", "T").out

"""docs/recovery.md row by row: what a user sees when a tree is held, damaged or has lost something, and that the advice works."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.scripts import Ended, Project, poll

PAGE = (Path(__file__).parents[2] / "docs" / "recovery.md").read_text(encoding="utf-8")

SCRIPT = """
import os, sys, time, jobtree

@jobtree.target
def leaf(n):
    with open("ledger", "a") as file:
        file.write(f"{n}\\n")
    while n == 3 and not os.path.exists("go"):
        assert os.path.exists("wait"), "it does not work yet"
        time.sleep(0.02)
    return n

@jobtree.target
def root(target):
    return target.set_follow_on(total([target.add_child(leaf(n)) for n in range(4)]))

@jobtree.target
def total(parts):
    return sum(parts)

if __name__ == "__main__":
    print(jobtree.run(root(), tree="T", progress="none"))
"""
#: Each link is given out after the end of the one before was acknowledged, so who runs the last one knows of the first ones.
CHAIN = SCRIPT.replace(
    "return target.set_follow_on(total([target.add_child(leaf(n)) for n in range(4)]))", "return target.set_follow_on(link(0))"
).replace(
    "if __name__ ==",
    """@jobtree.target
def link(target, n):
    leaf.fn(n)
    time.sleep(0.2)
    return target.set_follow_on(link(n + 1)) if n < 3 else 6

if __name__ ==""",
)
CLI = "import sys; from jobtree.cli.main import main; sys.exit(main(sys.argv[1:]))"


def says(ended: Ended, words: str, status: int) -> str:
    """The line that a command complained with: the page has these words and this status."""
    assert ended.status == status, ended.err
    assert "Traceback" not in ended.err
    line = ended.last_error
    assert words in line, line
    row = next((row for row in PAGE.splitlines() if words in row), None)
    assert row is not None, f"docs/recovery.md does not tell of {words!r}"
    assert f"| {status} |" in row
    return line


def command(project: Project, *words: str) -> Ended:
    return project.run("-c", CLI, *words, status=None)


def segments(project: Project) -> list[Path]:
    return sorted(project.tree.glob("journal/seg-*.log"))


@pytest.fixture
def stopped(project: Project) -> Project:
    """A run of which one target has failed; it won't the next time."""
    ended = project.run(project.write("script.py", SCRIPT), status=1)
    assert "it does not work yet" in ended.err
    return project


def completes(project: Project, *options: str) -> None:
    project.write("go", "")
    ended = command(project, "restart", *options, "T")
    assert ended.status == 0, ended.err
    assert project.run("script.py").lines == ["6"]
    assert command(project, "journal", "verify", "T").lines[-1] == "the journal is sound"


def spoil(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_a_damaged_journal_is_refused_and_salvaged(stopped: Project) -> None:
    (segment,) = segments(stopped)
    size = segment.stat().st_size
    spoil(segment, size * 3 // 4)
    before = segment.read_bytes()
    words = says(command(stopped, "restart", "T"), "the journal is damaged", 3)
    assert re.search(r"seg-\S+, offset \d+, frame \d+: .*jobtree journal salvage", words)
    assert segment.read_bytes() == before
    verified = command(stopped, "journal", "verify", "T")
    assert verified.status == 3
    assert "the journal is damaged" in verified.lines[-1]
    salvaged = command(stopped, "journal", "salvage", "T")
    assert salvaged.status == 0, salvaged.err
    lost = next(line for line in salvaged.lines if line.startswith("lost: "))
    assert re.fullmatch(r"lost: seg-\S+: [\d,]+ bytes from offset \d+ on are damaged", lost)
    assert any(line.startswith("now: ") for line in salvaged.lines)
    aside = salvaged.lines[-1].removeprefix("kept aside: ")
    assert (stopped.tree / "journal" / aside).read_bytes() == before
    completes(stopped)


def test_a_damaged_journal_can_be_gone_on_with_at_once(stopped: Project) -> None:
    spoil(segments(stopped)[0], segments(stopped)[0].stat().st_size * 3 // 4)
    completes(stopped, "--accept-loss")


def test_a_last_segment_that_was_deleted_is_missed(stopped: Project) -> None:
    failing = command(stopped, "restart", "T")  # a second epoch, with a segment of its own
    assert failing.status == 1, failing.err
    last = segments(stopped)[-1]
    assert len(segments(stopped)) == 2
    last.unlink()
    words = says(command(stopped, "restart", "T"), "the end of the journal is missing", 3)
    assert last.name in words
    verified = command(stopped, "journal", "verify", "T")
    assert (verified.status, "the end of the journal is missing" in verified.lines[-1]) == (3, True)
    (stopped.tree / "journal" / "witness").unlink()  # the connection file knows it too
    says(command(stopped, "restart", "T"), "the end of the journal is missing", 3)
    completes(stopped, "--accept-loss")


def test_an_end_that_was_cut_off_is_missed(stopped: Project) -> None:
    (segment,) = segments(stopped)
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    says(command(stopped, "restart", "T"), "the end of the journal is missing", 3)
    segment.write_bytes(whole)
    completes(stopped)


def test_nothing_but_noise_can_not_be_salvaged(stopped: Project) -> None:
    segments(stopped)[0].write_bytes(os.urandom(5000))
    says(command(stopped, "journal", "salvage", "T"), "can be read: ", 3)


def test_a_format_file_that_makes_no_sense_is_refused(stopped: Project) -> None:
    (stopped.tree / "journal" / "FORMAT").write_text("{")
    says(command(stopped, "restart", "T"), "FORMAT cannot be understood", 3)


def test_a_backup_that_is_older_than_the_workers_is_noticed_by_what_they_know(project: Project) -> None:
    project.write("wait", "")
    started = project.start(project.write("script.py", CHAIN))
    poll(lambda: len(project.noted()) >= 1)
    shutil.copytree(project.tree / "journal", project.directory / "backup")
    poll(lambda: len(project.noted()) == 4)
    started.kill()
    workers = project.workers()
    assert workers
    shutil.rmtree(project.tree / "journal")
    shutil.copytree(project.directory / "backup", project.tree / "journal")
    words = says(project.run("script.py", status=3), "the journal has lost what was acknowledged", 3)
    assert f"--accept-loss {project.tree}" in words
    assert project.workers() == workers
    completes(project, "--accept-loss")
    assert not set(workers) & set(project.workers())


def test_a_tree_that_is_held_names_its_master(project: Project) -> None:
    project.write("wait", "")
    started = project.start(project.write("script.py", SCRIPT))
    poll(lambda: len(project.noted()) == 4)
    says(command(project, "restart", "T"), "--take-over takes the tree from a master that hangs", 5)
    says(command(project, "restart", "--take-over", "T"), "which is at work and answers", 5)
    says(command(project, "journal", "salvage", "T"), "--take-over takes the tree from a master that hangs", 5)
    project.write("go", "")
    assert started.wait().lines == ["6"]


def test_a_disk_that_fails_to_sync_ends_the_master_and_nothing_is_lost(project: Project) -> None:
    failing = SCRIPT.replace(
        'if __name__ == "__main__":',
        """if __name__ == "__main__":
    real = os.fdatasync
    def sync(descriptor):
        if os.path.exists("ledger"):
            raise OSError(5, "Input/output error")
        real(descriptor)
    os.fdatasync = sync""",
    )
    ended = project.run(project.write("script.py", failing), status=4)
    says(ended, "could not be synced", 4)
    project.write("script.py", SCRIPT)
    completes(project)


def test_another_script_on_the_tree_is_refused(stopped: Project) -> None:
    other = stopped.write("other.py", SCRIPT.replace("root()", "leaf(7)"))
    says(stopped.run(other, status=2), "holds another run", 2)
    completes(stopped)


def test_keys_that_others_could_read_are_not_trusted(stopped: Project) -> None:
    (stopped.tree / "server.key").chmod(0o644)
    says(command(stopped, "restart", "T"), "can be read by others", 2)
    (stopped.tree / "server.key").chmod(0o600)
    completes(stopped)

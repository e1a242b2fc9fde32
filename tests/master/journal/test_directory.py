"""The directory of a journal: made once, opened with care, held by one master, one epoch each."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from jobtree.errors import JournalDamaged, StorageFailed, TreeLocked, UsageError
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files, Status, write_all
from jobtree.master.journal.holder import Holder, is_local
from tests.support.faulty_files import WRITING, FaultyFiles
from tests.support.journals import RUN, SOMEBODY, TREE, begin, new_disk
from tests.support.memory_files import MemoryFiles


def put(files: Files, path: str, data: bytes) -> None:
    descriptor = files.create(path)
    write_all(files, descriptor, data, 0)
    files.close(descriptor)


def tree_with_format(**changes: str) -> MemoryFiles:
    files = new_disk()
    files.make_directory(TREE)
    files.make_directory(f"{TREE}/journal")
    form = {"format": "1.0", "run": "00010203-0405-0607-0809-0a0b0c0d0e0f", "writer": "jobtree 9"} | changes
    put(files, f"{TREE}/journal/FORMAT", json.dumps(form).encode())
    return files


def test_a_new_tree_is_private_and_keeps_its_run_id(tmp_path: Path) -> None:
    tree = str(tmp_path / "tree")
    made = Directory.prepare(Files(), tree, "jobtree 1")
    assert Directory.prepare(Files(), tree, "jobtree 2").run_id == made.run_id
    assert Directory.open(Files(), tree).run_id == made.run_id
    made.lock().release()
    made.claim_epoch(Holder.ourselves())
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "tree", *(tmp_path / "tree").rglob("*")]}
    assert modes == {"tree": 0o700, "journal": 0o700, "FORMAT": 0o600, "LOCK": 0o600, "epoch-00000001": 0o600}


def test_a_new_tree_outlives_a_power_cut_at_once() -> None:
    for seed in range(50):
        files = new_disk()
        Directory.prepare(files, TREE, "jobtree 1", RUN)
        assert Directory.open(files.crash(Random(seed), power=True), TREE).run_id == RUN


def test_a_start_that_was_killed_anywhere_is_simply_done_again() -> None:
    for number in range(40):
        files = FaultyFiles()
        new_disk(files)
        files.fail(WRITING, number, errno.EIO, times=1000)
        try:
            Directory.prepare(files, TREE, "jobtree 1", RUN)
        except (StorageFailed, UsageError):
            assert files.failed
        for power in (False, True):
            after = files.crash(Random(number), power=power)
            assert Directory.prepare(after, TREE, "jobtree 1", RUN).run_id == RUN
            begin(after)[0].close()
    assert not files.failed, "the last round was to be without a fault"


def test_a_directory_with_something_else_in_it_is_no_tree() -> None:
    files = new_disk()
    files.make_directory(TREE)
    put(files, f"{TREE}/thesis.tex", b"")
    with pytest.raises(UsageError, match=r"holds something else.*--tree"):
        Directory.prepare(files, TREE, "jobtree 1")
    with pytest.raises(UsageError, match="not a jobtree tree"):
        Directory.open(files, TREE)
    assert "thesis.tex" in files.names(TREE)


def test_a_journal_without_format_is_no_new_tree() -> None:
    files = new_disk()
    begin(files)[0].close()
    files.unlink(f"{TREE}/journal/FORMAT")
    with pytest.raises(UsageError, match="holds something else"):
        Directory.prepare(files, TREE, "jobtree 1")


def test_a_file_or_a_missing_directory_above_is_said_so() -> None:
    files = new_disk()
    put(files, TREE, b"")
    with pytest.raises(UsageError, match="is a file"):
        Directory.prepare(files, TREE, "jobtree 1")
    with pytest.raises(UsageError, match="directory above"):
        Directory.prepare(files, "/home/not/there", "jobtree 1")


def test_a_newer_minor_format_is_read_and_a_newer_major_one_is_not() -> None:
    assert Directory.open(tree_with_format(format="1.7"), TREE).run_id == RUN
    with pytest.raises(UsageError, match=r"jobtree 9 in format 2\.0.*use that version"):
        Directory.open(tree_with_format(format="2.0"), TREE)


@pytest.mark.parametrize("changes", [{"format": "?"}, {"run": "?"}])
def test_a_format_that_cannot_be_understood_is_damage(changes: dict[str, str]) -> None:
    with pytest.raises(JournalDamaged, match="FORMAT"):
        Directory.open(tree_with_format(**changes), TREE)


def test_a_tree_of_another_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    files = tree_with_format()
    monkeypatch.setattr(files, "status", lambda path: Status(10, 1001, 0o600, 1, False))
    with pytest.raises(UsageError, match="belongs to user 1001"):
        Directory.prepare(files, TREE, "jobtree 1")


REFUSALS = [
    (errno.EACCES, UsageError, "; name another with --tree$"),
    (errno.EROFS, UsageError, "; name another with --tree$"),
    (errno.EIO, StorageFailed, ": Input/output error$"),
    (errno.ENOSPC, StorageFailed, "; make room and start again$"),
    (errno.EDQUOT, StorageFailed, "; make room and start again$"),
]


@pytest.mark.parametrize(("number", "kind", "advice"), REFUSALS)
def test_a_place_that_cannot_be_used_is_said_so(number: int, kind: type[Exception], advice: str) -> None:
    files = FaultyFiles()
    new_disk(files)
    files.fail(("create",), 0, number)
    with pytest.raises(kind, match="cannot be used.*" + advice):
        Directory.prepare(files, TREE, "jobtree 1")


def test_a_second_master_is_told_who_holds_the_tree() -> None:
    files = new_disk()
    directory = Directory.prepare(files, TREE, "jobtree 1")
    lock = directory.lock()
    directory.claim_epoch(SOMEBODY)
    with pytest.raises(TreeLocked, match=f"pid {os.getpid()} on .*, since 2.*kill {os.getpid()}.*--take-over") as caught:
        Directory.open(files, TREE).lock()
    assert caught.value.exit_status == 5
    assert "pid 4711 on node1" in str(directory.locked())
    lock.release()
    lock.release()
    Directory.open(files, TREE).lock().release()


def test_a_lock_holds_against_another_process(tmp_path: Path) -> None:
    tree = str(tmp_path / "tree")
    program = (
        "import sys; from jobtree.master.journal.directory import Directory; "
        "from jobtree.master.journal.files import Files; Directory.open(Files(), sys.argv[1]).lock()"
    )
    directory = Directory.prepare(Files(), tree, "jobtree 1")
    with_lock = directory.lock()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, tree]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "TreeLocked" in refused.stderr
    with_lock.release()
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def test_where_there_are_no_locks_the_lock_is_a_courtesy(monkeypatch: pytest.MonkeyPatch) -> None:
    files = new_disk()
    directory = Directory.prepare(files, TREE, "jobtree 1")
    assert directory.lock().warning is None

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files, "lock", refuse)
    assert "No locks available" in str(directory.lock().warning)


def test_every_claim_gets_another_epoch() -> None:
    files = new_disk()
    directory = Directory.prepare(files, TREE, "jobtree 1")
    assert (directory.highest_epoch(), directory.holder()) == (0, None)
    assert directory.claim_epoch(SOMEBODY) == (1, None)
    other = SOMEBODY._replace(pid=4712)
    assert directory.claim_epoch(other) == (2, SOMEBODY)
    assert (directory.highest_epoch(), directory.holder()) == (2, other)
    after = Directory.open(files.crash(Random(0), power=True), TREE)
    assert after.highest_epoch() == 2


def test_of_two_who_race_for_an_epoch_one_wins_and_the_other_gets_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = new_disk()
    slow = Directory.prepare(files, TREE, "jobtree 1")
    link = files.link

    def overtaken(source: str, target: str) -> None:
        monkeypatch.setattr(files, "link", link)
        assert Directory.open(files, TREE).claim_epoch(SOMEBODY).epoch == 1
        link(source, target)

    monkeypatch.setattr(files, "link", overtaken)
    assert slow.claim_epoch(SOMEBODY._replace(pid=1)) == (2, SOMEBODY)
    assert files.names(f"{TREE}/journal") == ["FORMAT", "epoch-00000001", "epoch-00000002"]


def test_of_two_who_want_the_same_epoch_the_second_is_refused() -> None:
    files = new_disk()
    directory = Directory.prepare(files, TREE, "jobtree 1")
    directory.claim_epoch(SOMEBODY, after=0)
    with pytest.raises(TreeLocked, match="pid 4711 on node1"):
        directory.claim_epoch(SOMEBODY._replace(pid=1), after=0)
    assert directory.highest_epoch() == 1


def test_a_lock_that_was_taken_can_be_claimed_when_it_is_free() -> None:
    files = new_disk()
    first = Directory.prepare(files, TREE, "jobtree 1").lock()
    second = Directory.open(files, TREE).try_lock()
    assert not second.held
    assert not second.claim()
    first.release()
    assert second.claim()
    assert second.held


def test_a_link_whose_answer_was_lost_counts_as_made(monkeypatch: pytest.MonkeyPatch) -> None:
    files = new_disk()
    directory = Directory.prepare(files, TREE, "jobtree 1")
    link = files.link

    def made_and_lost(source: str, target: str) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists", target)

    monkeypatch.setattr(files, "link", made_and_lost)
    assert directory.claim_epoch(SOMEBODY).epoch == 1


def test_processes_that_race_for_epochs_each_get_their_own(tmp_path: Path) -> None:
    tree = str(tmp_path / "tree")
    Directory.prepare(Files(), tree, "jobtree 1")
    program = (
        "import sys; from jobtree.master.journal.directory import Directory; "
        "from jobtree.master.journal.files import Files; from jobtree.master.journal.holder import Holder; "
        "d = Directory.open(Files(), sys.argv[1]); "
        "print(*[d.claim_epoch(Holder.ourselves()).epoch for _ in range(40)])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    racers = [
        subprocess.Popen([sys.executable, "-c", program, tree], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    epochs = [int(word) for racer in racers for word in racer.communicate()[0].split()]
    assert sorted(epochs) == list(range(1, 81))


def test_only_a_process_of_this_boot_can_be_known_to_be_dead() -> None:
    ourselves = Holder.ourselves()
    assert not ourselves.is_certainly_dead()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert ourselves._replace(pid=child.pid).is_certainly_dead()
    assert ourselves._replace(started=ourselves.started - 1).is_certainly_dead()
    assert not ourselves._replace(pid=child.pid, boot="another").is_certainly_dead()
    assert Holder.read(ourselves.written()) == ourselves
    assert Holder.read(b"{}") is None
    assert Holder.read(b"\xff") is None


def test_a_file_system_that_is_not_known_to_be_local_is_not_local() -> None:
    assert is_local("/dev/shm")
    assert not is_local("/proc")

"""From a directory to a master: what is made, kept and given back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobtree import _opening, _pool
from jobtree.errors import JournalDamaged, TreeLocked, UsageError
from jobtree.master.journal.writer import Journal
from jobtree.options import Options
from jobtree.protocol import keys


def test_a_new_tree_is_empty_and_belongs_to_who_opened_it(tmp_path: Path) -> None:
    opened = _opening.open_tree(tmp_path / "a" / "T", create=True)
    assert opened.is_new
    with pytest.raises(TreeLocked):
        _opening.open_tree(tmp_path / "a" / "T", create=False)
    opened.close()
    again = _opening.open_tree(tmp_path / "a" / "T", create=False)
    assert again.is_new
    assert again.directory.run_id == opened.directory.run_id
    again.close()


def test_opening_what_is_no_tree_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        _opening.open_tree(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_each_claim_is_another_epoch(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        opened = _opening.open_tree(tmp_path / "T", create=True)
        _opening.claim(opened)
        assert opened.epoch == epoch
        opened.close()


def test_a_restarted_master_keeps_its_keys_and_its_port(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        opened = _opening.open_tree(tmp_path / "T", create=True)
        _opening.claim(opened)
        Journal.open(opened.directory.files, opened.directory, opened.epoch, opened.reader.tail, opened.payloads).close()
        announcement = _opening._Announcement(tmp_path / "T" / "connection")
        server = _opening._server(opened, Options(), announcement, False)
        seen.append(keys.read_connection(tmp_path / "T" / "connection"))
        server.close()
        opened.close()
    first, second = seen
    assert (first.epoch, second.epoch) == (1, 2)
    assert first.addresses == second.addresses
    assert (first.run, first.server_public, first.worker_public, first.worker_secret) == (
        second.run, second.server_public, second.worker_public, second.worker_secret,
    )  # fmt: skip


def test_a_port_that_is_not_allowed_any_more_is_given_up(tmp_path: Path) -> None:
    connection = keys.Connection("run", 1, ["tcp://127.0.0.1:7005"], "", "", "")
    assert list(_opening._ports(Options(port_range="7000:7002"), connection)) == [7000, 7001, 7002]  # type: ignore[arg-type]
    assert list(_opening._ports(Options(port_range="7004:7006"), connection))[:2] == [7005, 7004]  # type: ignore[arg-type]
    assert list(_opening._ports(Options(), connection)) == [7005, 0]
    assert list(_opening._ports(Options(), None)) == [0]


def test_workers_share_what_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(_pool, "_usable_memory", lambda: 16 << 30)
    for options, expected in (
        ({}, (8.0, 16 << 30, 1)),
        ({"workers": 4}, (2.0, 4 << 30, 4)),
        ({"workers": 3}, (2.0, (16 << 30) // 3, 3)),
        ({"workers": 16}, (1.0, 1 << 30, 16)),
        ({"max_cpus": 4, "max_memory": "8G"}, (4.0, 8 << 30, 1)),
        ({"worker_cpus": 2, "worker_memory": "1G"}, (2.0, 1 << 30, 1)),
    ):
        size, count = _pool.local_size(Options(**options))
        assert (size.cpus, size.memory_bytes, count) == expected, options


def test_workers_too_small_to_be_of_use_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "_usable_memory", lambda: 1 << 30)
    with pytest.raises(UsageError, match="ask for fewer with --workers"):
        _pool.local_size(Options(workers=100))  # type: ignore[arg-type]


def test_all_workers_together_never_have_more_than_was_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(_pool, "_usable_memory", lambda: 16 << 30)
    for options, expected in (
        ({"workers": 4, "max_cpus": 2}, (1.0, 8 << 30, 2)),
        ({"workers": 2, "max_cpus": 3.5}, (1.0, 8 << 30, 2)),
        ({"max_cpus": 0.5}, (0.5, 16 << 30, 1)),
        ({"workers": 3, "max_cpus": 0.5}, (0.5, 16 << 30, 1)),
        ({"workers": 12, "max_cpus": 10}, (1.0, (16 << 30) // 10, 10)),
        ({"workers": 4, "worker_cpus": 2, "max_cpus": 5}, (2.0, 8 << 30, 2)),
        ({"workers": 3, "worker_cpus": 0.1, "max_cpus": 0.3}, (0.1, (16 << 30) // 3, 3)),
        ({"workers": 4, "worker_memory": "3G", "max_memory": "8G"}, (4.0, 3 << 30, 2)),
        ({"workers": 4, "max_memory": "8G"}, (2.0, 2 << 30, 4)),
    ):
        size, count = _pool.local_size(Options(**options))  # type: ignore[arg-type]
        assert (size.cpus, size.memory_bytes, count) == expected, options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"worker_cpus": 4, "max_cpus": 2}, "--worker-cpus 4 is more than --max-cpus 2"),
        ({"worker_memory": "2G", "max_memory": "1G"}, "--worker-memory 2G is more than --max-memory 1G"),
    ],
)
def test_a_worker_larger_than_all_that_is_allowed_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _pool.local_size(Options(**options))


def test_a_journal_whose_segments_are_all_gone_is_no_new_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import jobtree\nif __name__ == '__main__':\n    jobtree.run(jobtree.call(len, 'abc'), tree='T', progress='none')\n"
    )
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    for segment in (tmp_path / "T" / "journal").glob("seg-*"):
        segment.unlink()
    with pytest.raises(JournalDamaged, match=r"the end of the journal is missing.*has no segment left"):
        _opening.open_tree(tmp_path / "T", create=True)

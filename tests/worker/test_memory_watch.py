"""What the worker knows of the machine's memory as a whole."""

from __future__ import annotations

from pathlib import Path

from jobtree.worker.memory import Sampler, is_scarce, kernel_kills


def test_memory_is_scarce_below_a_tenth_or_two_gigabytes(tmp_path: Path) -> None:
    def scarce(total_kib: int, available_kib: int) -> bool:
        (tmp_path / "meminfo").write_text(f"MemTotal: {total_kib} kB\nMemFree: 1 kB\nMemAvailable: {available_kib} kB\n")
        return is_scarce(str(tmp_path / "meminfo"))

    assert scarce(8 << 20, 700 << 10)
    assert not scarce(8 << 20, 900 << 10)
    assert scarce(256 << 20, 1900 << 10)
    assert not scarce(256 << 20, 2100 << 10)
    assert not is_scarce(str(tmp_path / "nothing"))


def test_the_kernel_s_own_kills_are_counted(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free 5\noom_kill 3\n")
    (tmp_path / "events").write_text("low 0\noom 9\noom_kill 2\noom_group_kill 0\n")
    assert kernel_kills([str(tmp_path / "vmstat"), str(tmp_path / "events"), str(tmp_path / "nothing")]) == 5


def test_a_kill_of_the_kernel_is_noticed_once(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    kills = [7]
    monkeypatch.setattr("jobtree.worker.memory.kernel_kills", lambda: kills[0])
    sampler = Sampler()
    assert not sampler.kernel_has_killed()
    kills[0] = 8
    assert sampler.kernel_has_killed()
    assert not sampler.kernel_has_killed()

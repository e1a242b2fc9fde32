"""Looks at how much memory the runners hold: for the rows, and to find who takes too much."""

from __future__ import annotations

import os
from collections.abc import Iterable

from jobtree.ids import Attempt

from .keeper import Keeper
from .reaper import Process, below, descendants, processes

#: Attempts are looked at when they have run for this long; for others the runner's high-water mark must do.
SAMPLED_SECONDS = 0.1
#: Subprocesses are looked for this often: that means reading all of /proc.
TREES_SECONDS = 1.0
#: Between two exact counts of a runner that seems to hold too much.
COUNT_SECONDS = 0.2
#: With less of the machine's memory left than this, in bytes or as a share, everybody is looked at each time.
SCARCE_BYTES, SCARCE_SHARE = 2 << 30, 0.1
#: Between two looks at whom the kernel has ended.
KILLS_SECONDS = 1.0

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Samples the memory of what runs."""

    def __init__(self) -> None:
        self._next_trees = 0.0
        self._trees: dict[Attempt, int] = {}  # bytes of the runner's descendants
        self._next_counts: dict[int, float] = {}  # pid -> when its pages may be counted again
        self._kills = kernel_kills()
        self._next_kills = 0.0

    def look(self, keepers: Iterable[Keeper], now: float, at: float) -> list[tuple[Keeper, str]]:
        """Take note of what each running attempt holds; returns those that hold too much, with words.

        `now` is the supervisor's clock, `at` unix time.
        """
        watched = [
            (keeper, keeper.pid, keeper.underway)
            for keeper in keepers
            if keeper.pid and keeper.underway and at - keeper.underway.started >= SAMPLED_SECONDS
        ]
        if now >= self._next_kills:
            self._next_kills = now + KILLS_SECONDS
            self._kills = kernel_kills()
        if watched and is_scarce():
            # Whoever takes too much must be found before the kernel chooses somebody, or the node stands still.
            self._next_trees = 0.0
            self._next_counts.clear()
        if watched and now >= self._next_trees:
            self._look_at_trees([(pid, underway.attempt) for _, pid, underway in watched], now)
        greedy = []
        for keeper, pid, underway in watched:
            held = resident_bytes(pid) + self._trees.get(underway.attempt, 0)
            underway.peak_bytes = max(underway.peak_bytes, held)
            limit = keeper.memory_limit(underway.attempt)
            if limit and held > limit and (words := self._accuse(pid, limit, now)):
                greedy.append((keeper, words))
        return greedy

    def kernel_has_killed(self) -> bool:
        """Whether the kernel has ended somebody for want of memory a moment ago."""
        before, self._kills = self._kills, kernel_kills()
        return self._kills > before

    def _look_at_trees(self, watched: list[tuple[int, Attempt]], now: float) -> None:
        self._next_trees = now + TREES_SECONDS
        snapshot = processes()
        self._trees = {attempt: _held(below({pid}, snapshot)) for pid, attempt in watched}
        self._next_counts = {pid: at for pid, at in self._next_counts.items() if pid in snapshot}

    def _accuse(self, pid: int, limit: int, now: float) -> str:
        """Count pages that processes share once, for nobody is to be killed for counting them twice."""
        if now < self._next_counts.get(pid, 0.0):
            return ""
        self._next_counts[pid] = now + COUNT_SECONDS
        held = proportional_bytes([pid, *descendants(pid)])
        return f"used {_shown(held)} of memory, and asked for {_shown(limit)}" if held > limit else ""


def is_scarce(path: str = "/proc/meminfo") -> bool:
    """Whether this machine is about to run out of memory."""
    found: dict[bytes, int] = {}
    try:
        with open(path, "rb") as file:
            for line in file:
                name, _, rest = line.partition(b":")
                if name in (b"MemTotal", b"MemAvailable"):
                    found[name] = int(rest.split()[0]) * 1024
                    if len(found) == 2:
                        break
    except OSError:
        return False
    if len(found) < 2:
        return False
    return found[b"MemAvailable"] < min(SCARCE_BYTES, found[b"MemTotal"] * SCARCE_SHARE)


def kernel_kills(paths: Iterable[str] = ("/proc/vmstat", "/sys/fs/cgroup/memory.events")) -> int:
    """How many processes the kernel has ended so far because memory had run out: of the machine, or of our cgroup."""
    kills = 0
    for path in paths:
        try:
            with open(path, "rb") as file:
                kills += sum(int(line.split()[1]) for line in file if line.startswith(b"oom_kill "))
        except OSError:
            pass  # this kernel does not say
    return kills


def resident_bytes(pid: int) -> int:
    """What one process holds now; 0 if it is gone. Cheap: one short file."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def proportional_bytes(pids: Iterable[int]) -> int:
    """What processes hold, each page that several processes share counted in parts. Costly."""
    return sum(map(_proportional, pids))


def _held(members: Iterable[Process]) -> int:
    return sum(process.resident_bytes for process in members)


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has just ended
    return 0


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

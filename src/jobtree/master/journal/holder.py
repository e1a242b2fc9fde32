"""Who holds a tree: host, boot, process; and whether that process can still be alive."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import NamedTuple

# Where flock and fdatasync mean what they say, and no other host can be writing.
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "f2fs", "bcachefs", "ramfs"})


class Holder(NamedTuple):
    """A process that has a tree. `started` is in clock ticks since that host's boot, `since` in unix seconds (0: not known)."""

    host: str
    boot: str
    pid: int
    started: int
    since: float = 0.0

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @property
    def described(self) -> str:
        """Who it is, and since when it has the tree."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self}, since {since}" if self.since else str(self)

    @classmethod
    def ourselves(cls) -> Holder:
        """The process that asks, from now on."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _started(os.getpid()) or 0, round(time.time(), 3))

    @property
    def is_us(self) -> bool:
        """Whether it is this very process."""
        return bool(self.boot) and (self.boot, self.pid, self.started) == (_boot(), os.getpid(), _started(os.getpid()))

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """The holder that an epoch file names, or None where it cannot be understood."""
        try:
            found = json.loads(data)
            since = float(found.get("since", 0.0))
            holder = cls(str(found["host"]), str(found["boot"]), int(found["pid"]), int(found["started"]), since)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None
        return holder

    def written(self) -> bytes:
        """What the epoch file says of it."""
        return json.dumps(self._asdict()).encode() + b"\n"

    @property
    def is_here(self) -> bool:
        """Whether it ran in this boot of this machine, so that we can know what became of it."""
        return bool(self.boot) and self.boot == _boot()

    def is_certainly_dead(self) -> bool:
        """True only where this can be known: it ran in this boot of this machine, and its pid is gone."""
        return self.is_here and _started(self.pid) != self.started


def is_local(path: str) -> bool:
    """Whether a directory lies on a file system that only this host writes; False where that is not known."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            lines = [line.split() for line in mounts]
    except OSError:
        return False
    return any(words[2] == number and words[words.index("-") + 1] in _LOCAL for words in lines)


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""  # no Linux: then nobody's death is certain


def _started(pid: int) -> int | None:
    """When a process of this host was started, in clock ticks since the boot; None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None

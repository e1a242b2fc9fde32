"""The processes of a project by what they are: supervisors, nurseries, runners; found through /proc, and killed by their pid."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from jobtree.worker import reaper
from tests.support.scripts import Project


@dataclass
class Kin:
    """Who was alive when it was looked."""

    workers: list[int] = field(default_factory=list)
    nurseries: list[int] = field(default_factory=list)
    runners: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, project: Project) -> Kin:
        """Look."""
        snapshot = {pid: process for pid, process in reaper.processes().items() if not process.zombie}
        workers = [pid for pid in project.workers() if pid in snapshot]
        nurseries = [pid for pid, process in snapshot.items() if process.parent in workers]
        runners = [pid for pid, process in snapshot.items() if process.parent in nurseries]
        return cls(workers, nurseries, runners)

    @staticmethod
    def below(pid: int) -> list[int]:
        """All live descendants of a process."""
        return reaper.descendants(pid)

    @staticmethod
    def supervisor_of(runner: int) -> int:
        """The parent of its parent."""
        snapshot = reaper.processes()
        return snapshot[snapshot[runner].parent].parent

    @property
    def all(self) -> list[int]:
        """Everybody."""
        return [*self.workers, *self.nurseries, *self.runners]


def send(number: int, pid: int) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True

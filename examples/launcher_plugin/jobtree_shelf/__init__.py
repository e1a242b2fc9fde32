"""A launcher for `shelf`, a batch system of one file: a complete example, to be copied for a real one.

Five methods say how the system is spoken to; names, files, time-outs, looking up after an open submission, and what to make of
a job that is not listed any more are the base class's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId, BlockState, SubmitRefused, WorkerSize
from jobtree.launchers.batch import BatchLauncher, Job, Listed
from jobtree.launchers.settings import setting

STATES = {"waiting": BlockState.PENDING, "running": BlockState.RUNNING, "held": BlockState.HELD}


class ShelfLauncher(BatchLauncher):
    """Block `shelf:JOB.TASK` is a task of a job."""

    @dataclass(frozen=True)
    class Options:
        """Each field becomes an option of a run: --shelf-tag. `queue`, `account` and `args` come from --queue and so on."""

        queue: str | None = None
        args: tuple[str, ...] = ()
        tag: str | None = setting(None, metavar="WORD", help="a word that the system shows with the job")

    title = "shelf"
    programs = ("shelf",)
    variables = ("SHELF_",)
    poll_seconds = 30.0

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        super().__init__(command, directory, settings or ShelfLauncher.Options())

    def job(self, name: str, n: int, size: WorkerSize) -> Job:
        """The command, and the script on its stdin; SHELF_TASK counts from 0."""
        if size.gpus:
            raise SubmitRefused(["shelf"], None, "shelf knows nothing of gpus")
        argv = ["shelf", "submit", f"--name={name}", f"--tasks={n}", f"--cpus={math.ceil(size.cpus)}"]
        argv.append(f"--kilobytes={math.ceil(size.memory_bytes / 1024)}")  # its unit, said explicitly
        argv += [f"--queue={self.settings.queue}"] if self.settings.queue else []
        argv += [f"--tag={self.settings.tag}"] if self.settings.tag else []
        return Job([*argv, *self.settings.args], self.script(name, "$SHELF_TASK"))

    def accepted(self, answer: str, n: int) -> list[BlockId]:
        """It prints `job 17`."""
        found = re.search(r"^job (\d+)$", answer, re.MULTILINE)
        return [f"shelf:{found[1]}.{task}" for task in range(n)] if found else []

    def siblings(self, block: BlockId, n: int) -> list[BlockId]:
        """All tasks of the same job."""
        job = block.removeprefix("shelf:").partition(".")[0]
        return [f"shelf:{job}.{task}" for task in range(n)]

    def listed(self, names: Collection[str]) -> list[Listed]:
        """It prints `17.0 NAME running`, a line for each task that is not over, and a last line that shows that it is whole."""
        answer = self.run(["shelf", "list"])
        return tasks_in(answer)

    def remove(self, blocks: Sequence[BlockId]) -> None:
        """`shelf end 17.0 17.1`."""
        self.run(["shelf", "end", *(block.removeprefix("shelf:") for block in blocks)])

    def verdicts(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """`shelf past` prints `17.0 3`: how tasks that are over have ended."""
        lines = (line.split() for line in self.run(["shelf", "past"]).splitlines())
        ends = {f"shelf:{words[0]}": f"exit status {words[1]}" for words in lines if len(words) == 2}
        return {block: ends[block] for block in blocks if block in ends}


def tasks_in(answer: str) -> list[Listed]:
    """A plain function, to be tested with recorded answers. An answer that is cut off must not look like an empty one."""
    lines = answer.splitlines()
    if not lines or lines[-1] != "end of list":
        raise LauncherError(["shelf", "list"], None, f"its answer makes no sense: {answer[:300]!r}")
    words = (line.split() for line in lines[:-1])
    return [Listed(f"shelf:{task}", name, STATES.get(state, BlockState.UNKNOWN)) for task, name, state in words]

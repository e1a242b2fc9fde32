"""What the launchers of all batch systems share: scripts, records, looking up, judging who is gone; a system adds its words.

A subclass says in five methods how its system is spoken to (`job`, `accepted`, `listed`, `verdicts`, `remove`). They need not
care for names, files, time-outs, or what to make of a job that is not listed any more.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jobtree.errors import LauncherError
from jobtree.launchers import shell
from jobtree.launchers.base import Availability, BlockId, BlockState, BlockStatus, SubmitBusy, SubmitRefused, WorkerSize
from jobtree.launchers.records import Records, Submission

log = logging.getLogger("jobtree.launchers")

#: Polls in a row that must not list a block, before it counts as ended though no accounting tells how.
MISSES = 3
#: Seconds until the system is asked again why the same jobs wait: that is one more command than a poll.
ASK_AGAIN = 150.0
#: Blocks in one command.
CHUNK = 200


@dataclass(frozen=True)
class Job:
    """A submission as the system gets it: the command, and the script on its stdin."""

    argv: list[str]
    script: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A block as the system lists it."""

    block: BlockId
    name: str
    state: BlockState
    reason: str = ""


@dataclass
class _Memory:
    """What one launcher has seen in its own life."""

    missed: dict[BlockId, int] = field(default_factory=dict)
    cancelled: set[BlockId] = field(default_factory=set)
    asked: dict[tuple[str, BlockState], tuple[float, str]] = field(default_factory=dict)  # why they wait: when asked, the answer


class BatchLauncher(ABC):
    """Workers as jobs of a batch system, an array for each submission."""

    #: The system's name for people.
    title: ClassVar[str]
    #: The programs that must be on PATH; the first one submits.
    programs: ClassVar[tuple[str, ...]]
    #: Variables that these programs read begin with one of these.
    variables: ClassVar[tuple[str, ...]] = ()
    #: Variables among them that would change what is submitted: they are kept from the programs.
    kept_out: ClassVar[tuple[str, ...]] = ()
    #: What the programs print when they could not be served now; anything else that fails a submission is final.
    busy: ClassVar[re.Pattern[str]] = re.compile(
        r"timed? ?out|try(ing)? again|unable to (contact|send)|connect|temporar", re.IGNORECASE
    )
    #: The number of an array's first task.
    first_task: ClassVar[int] = 0
    #: How long one of the programs may take (seconds).
    timeout_seconds: ClassVar[float] = 60.0
    #: Seconds between two polls.
    poll_seconds: ClassVar[float] = 30.0

    def __init__(self, command: Sequence[str], directory: Path, settings: Any) -> None:
        self.command = list(command)
        self.directory = directory
        self.settings: Any = settings
        self.records = Records(directory)
        self._memory = _Memory()

    # -- how the system is spoken to ------------------------------------------------------------------------------

    @abstractmethod
    def job(self, name: str, n: int, size: WorkerSize) -> Job:
        """The command and script that ask for `n` workers; pure. Raises SubmitRefused for what can't be asked for."""

    @abstractmethod
    def accepted(self, answer: str, n: int) -> list[BlockId]:
        """The blocks, by the submit command's answer; empty if it makes no sense."""

    @abstractmethod
    def listed(self, names: Collection[str]) -> list[Listed]:
        """What the system says of jobs with these names, and maybe of others; in one command."""

    @abstractmethod
    def remove(self, blocks: Sequence[BlockId]) -> None:
        """End these blocks, which are ours and have not ended."""

    def verdicts(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """How blocks that are not listed any more have ended, in words, as far as the system's accounting tells."""
        return {}

    def siblings(self, block: BlockId, n: int) -> list[BlockId]:
        """All `n` blocks of the array that `block` is of, by their index."""
        return [block]

    def reasons(self, waiting: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """Why blocks have to wait, or can't run, where `listed` does not tell."""
        return {}

    # -- the contract ---------------------------------------------------------------------------------------------

    def submit(self, name: str, n: int, size: WorkerSize) -> list[BlockId]:
        """Submit one array of `n` jobs."""
        job = self.job(name, n, size)
        self.records.keep(Submission(name, n))
        blocks = self.ask_for(name, n, job)
        self.records.keep(Submission(name, n, blocks))
        return blocks

    def ask_for(self, name: str, n: int, job: Job) -> list[BlockId]:
        """Hand a job in; gives its blocks."""
        try:
            answer = self.run(job.argv, job.script)
        except LauncherError as error:
            raise self._judged(error) from error
        blocks = self.accepted(answer, n)
        if not blocks:
            raise LauncherError(job.argv, None, f"its answer makes no sense: {answer.strip()[:500]!r}")
        return blocks

    def _judged(self, error: LauncherError) -> LauncherError:
        """Whether trying again makes sense: status None is open, a refusal is final, the rest passes."""
        if error.status is None:
            return error
        kind = SubmitBusy if self.busy.search(error.tail) else SubmitRefused
        return kind(error.argv, error.status, error.tail)

    def poll(self) -> dict[BlockId, BlockStatus]:
        """One listing for all; what it does not name is looked up in the accounting."""
        found = {block: BlockStatus(BlockState.ENDED, how) for one in self.records for block, how in one.ended.items()}
        open_ = {block: one.name for one in self.records for block in one.open}
        disowned = [one for one in self.records if one.disowned]
        if not open_ and not disowned:
            return found
        listed = self.listed(sorted({*open_.values(), *(one.name for one in disowned)}))
        self._evict(listed, {one.name for one in disowned})
        ours = {one.block: one for one in listed if open_.get(one.block) == one.name}
        for block, one in ours.items():
            self._memory.missed.pop(block, None)
            found[block] = BlockStatus(one.state, one.reason)
            if one.state is BlockState.ENDED:
                self._over(block, one.reason)
        self._explain(found, [one.block for one in ours.values()])
        self._judge_missing(found, [block for block in open_ if block not in ours])
        return found

    def _explain(self, found: dict[BlockId, BlockStatus], blocks: Iterable[BlockId]) -> None:
        """Say why, where the listing has not: of the first block of each submission that has to wait."""
        asked: dict[tuple[str, BlockState], list[BlockId]] = {}
        for block in blocks:
            one = self.records.of(block)
            if found[block].state in (BlockState.PENDING, BlockState.ERROR, BlockState.HELD) and not found[block].reason and one:
                asked.setdefault((one.name, found[block].state), []).append(block)
        now = time.monotonic()
        due = {key: some[0] for key, some in asked.items() if now - self._memory.asked.get(key, (-ASK_AGAIN, ""))[0] >= ASK_AGAIN}
        if due:
            try:
                told = self.reasons(list(due.values()))
            except LauncherError as error:
                log.info("why workers wait is not known: %s", error)
                told = {}
            self._memory.asked.update({key: (now, told.get(block, "")) for key, block in due.items()})
        for key, some in asked.items():
            reason = self._memory.asked.get(key, (0.0, ""))[1]
            found.update({block: BlockStatus(found[block].state, reason) for block in some if reason})

    def _judge_missing(self, found: dict[BlockId, BlockStatus], missing: list[BlockId]) -> None:
        """What is not listed has ended if the accounting says how, if we had cancelled it, or if it is missed again and again."""
        if not missing:
            return
        try:
            told = self.verdicts(missing)
        except LauncherError as error:
            log.info("the accounting does not answer: %s", error)
            told = {}
        for block in missing:
            count = self._memory.missed[block] = self._memory.missed.get(block, 0) + 1
            how = "cancelled" if block in self._memory.cancelled else told.get(block)
            if how is None and count >= MISSES:
                how = f"{self.title} does not list it any more, and does not tell how it ended"
            if how is None:
                found[block] = BlockStatus(BlockState.UNKNOWN, f"not listed by {self.title}")
            else:
                self._over(block, how)
                found[block] = BlockStatus(BlockState.ENDED, how)

    def _over(self, block: BlockId, how: str) -> None:
        submission = self.records.of(block)
        if submission is not None and block not in submission.ended:
            submission.ended[block] = how
            self.records.keep(submission)

    def _evict(self, listed: list[Listed], disowned: set[str]) -> None:
        """Remove what was submitted, looked for, not found, given up, and turns up after all."""
        strays = [one for one in listed if one.name in disowned and one.state is not BlockState.ENDED]
        if not strays:
            return
        log.warning("%s lists a submission that it did not know when asked: removed", sorted({one.name for one in strays}))
        for some in _chunks([one.block for one in strays]):
            self.remove(some)
        for name in {one.name for one in strays}:
            submission = self.records.get(name)
            if submission is not None:
                submission.disowned = False
                self.records.keep(submission)

    def cancel(self, blocks: Collection[BlockId]) -> None:
        """End those that the system lists under the name they were submitted with."""
        wanted = {block: one.name for block in blocks if (one := self.records.of(block)) is not None and block not in one.ended}
        if not wanted:
            return
        listed = self.listed(sorted(set(wanted.values())))
        alive = [one.block for one in listed if wanted.get(one.block) == one.name and one.state is not BlockState.ENDED]
        for some in _chunks(alive):
            self.remove(some)
        self._memory.cancelled.update(alive)

    def find(self, name: str) -> list[BlockId]:
        """By our own record if the system has answered; else by asking for the name."""
        record = self.records.get(name)
        if record is not None and record.blocks:
            return list(record.blocks)
        listed = sorted((one for one in self.listed([name]) if one.name == name), key=lambda one: one.block)
        if not listed:
            if record is not None:
                record.disowned = True
                self.records.keep(record)
            return []
        n = record.n if record is not None else len(listed)
        blocks = self.siblings(listed[0].block, n)
        if len(blocks) != n:
            blocks = [one.block for one in listed]
        self.records.keep(Submission(name, n, blocks))
        return blocks

    def describe(self, name: str, n: int, size: WorkerSize) -> str:
        """The command line and the script, as they would be used."""
        job = self.job(name, n, size)
        return f"{shlex.join(job.argv)} <<'END'\n{job.script.rstrip()}\nEND"

    def available(self) -> Availability:
        """Whether the programs are here and somebody answers them."""
        missing = [program for program in self.programs if shutil.which(program) is None]
        if missing:
            return Availability(False, f"{', '.join(missing)} not found on PATH")
        try:
            self.listed([])
        except LauncherError as error:
            return Availability(False, f"{self.title} does not answer: {' '.join(str(error).split())}")
        return Availability(True)

    def output_tail(self, block: BlockId) -> str:
        """What the worker printed, and before that what the batch system and the shell have said of the job."""
        submission = self.records.of(block)
        if submission is None:
            return ""
        index = submission.blocks.index(block)
        files = (f"{submission.name}.{index + self.first_task}.job", f"{submission.name}.{index}.out")
        words = [_end_of(self.directory / file) for file in files]
        return "\n".join(word for word in words if word)

    # -- for subclasses -------------------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], input_text: str = "") -> str:
        """Run one of the programs in TREE/blocks, with no more of our environment than it needs."""
        environment = shell.plain_environment(*self.variables)
        for name in list(environment):
            if name.startswith(self.kept_out or ("\0",)):
                del environment[name]
        return shell.run(
            argv, timeout_seconds=self.timeout_seconds, input_text=input_text, environment=environment, directory=self.directory
        )

    def script(self, name: str, index: str) -> str:
        """The job script of one worker; `index` is what the shell makes its index of, such as `$((SGE_TASK_ID - 1))`."""
        return worker_script(self.command, self.directory, name, index)


def worker_script(command: Sequence[str], directory: Path, name: str, index: str) -> str:
    """A script that becomes the worker, with its output in TREE/blocks/NAME.K.out."""
    out = f'{shlex.quote(str(directory))}/{shlex.quote(name)}."$index".out'
    lines = [
        "#!/bin/sh",
        f"index={index}",
        "umask 077",
        f"exec >>{out} 2>&1 </dev/null",
        # Every thread of a process reserves much address space, which some systems count as memory.
        "MALLOC_ARENA_MAX=2; export MALLOC_ARENA_MAX",
        f'exec {shlex.join(command)} --block {shlex.quote(name)} --index "$index"',
    ]
    return "\n".join(lines) + "\n"


def _chunks(blocks: Sequence[BlockId]) -> list[Sequence[BlockId]]:
    return [blocks[start : start + CHUNK] for start in range(0, len(blocks), CHUNK)]


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            return shell.tail(file.read())
    except OSError:
        return ""  # it was never made, or the node and we see different files


def user_name() -> str:
    """Whose jobs are ours, by the uid: $USER may say anything."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())

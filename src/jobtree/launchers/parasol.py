"""Workers as jobs of UCSC's parasol, one `add job` each.

Learned on a real one (12.20): a command is words and no shell line, so each worker has a script without blanks in its path; cpus
and memory belong to a batch, which is a results file, so there is one for each size; removed jobs never get a line there; after
the hub's crash lines go to `para.results`; a node on which jobs fail is passed over without a word until it is cleared, so a
worker always ends with 0; the environment is the node daemon's.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId, BlockState, SubmitRefused, WorkerSize
from jobtree.launchers.batch import BatchLauncher, Job, Listed
from jobtree.launchers.records import Submission
from jobtree.launchers.settings import setting

#: parasol limits address space; a worker takes 172 MiB of it, and a script's libraries and threads much more.
ADDRESS_SPACE = 1 << 30
#: A command is one datagram.
LONGEST = 1200


class ParasolLauncher(BatchLauncher):
    """Block `parasol:ID` is one job."""

    @dataclass(frozen=True)
    class Options:
        """How jobs are asked for."""

        args: tuple[str, ...] = ()
        command: str = setting("parasol", metavar="PROGRAM", help="the parasol program (default: the one on PATH)")
        host: str | None = setting(None, metavar="NAME", help="the hub's host, if it is another one")

    title = "parasol"
    programs = ("parasol",)

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        super().__init__([*command, "--exit-zero"], directory, settings or ParasolLauncher.Options())
        self.programs = (self.settings.command,)  # type: ignore[misc]

    def job(self, name: str, n: int, size: WorkerSize) -> Job:
        """The command for the first worker; the others differ in their index."""
        return Job(self._add(name, 0, size), self.script(name, "0"))

    def _add(self, name: str, index: int, size: WorkerSize) -> list[str]:
        cpus, memory = max(1, math.ceil(size.cpus)), size.memory_bytes + ADDRESS_SPACE
        script = self._script_of(name, index)
        if len(str(script).split()) != 1 or len(str(script)) > LONGEST:
            raise SubmitRefused(["parasol"], None, f"parasol can't run what has blanks in its path, or is too long: {script}")
        results = self._batch(cpus, memory)
        return [
            *self._parasol(results, f"-cpu={cpus}", f"-ram={memory}", "-printId"),
            *self.settings.args,
            "add",
            "job",
            str(script),
        ]

    def _batch(self, cpus: int, memory: int) -> Path:
        return self.directory / f"results.{cpus}.{memory}"

    def _parasol(self, results: Path | None, *options: str) -> list[str]:
        host = [f"-host={self.settings.host}"] if self.settings.host else []
        return [self.settings.command, *host, *([f"-results={results}"] if results else []), *options]

    def _script_of(self, name: str, index: int) -> Path:
        return self.directory / f"{name}.{index}.sh"

    def submit(self, name: str, n: int, size: WorkerSize) -> list[BlockId]:
        """One job after the other; those that were taken before one failed are kept."""
        self._add(name, 0, size)
        # Its own record of a batch, for parasol makes the results file only when the first job has ended.
        batch = self._batch(max(1, math.ceil(size.cpus)), size.memory_bytes + ADDRESS_SPACE)
        (self.directory / f"{batch.name}.batch").touch()
        self.records.keep(Submission(name, n))
        blocks: list[BlockId] = []
        try:
            for index in range(n):
                blocks.append(self._one(name, index, size))  # noqa: PERF401  # what was taken counts, if a later one is not
        finally:
            self.records.keep(Submission(name, n, blocks))
        return blocks

    def _one(self, name: str, index: int, size: WorkerSize) -> BlockId:
        path = self._script_of(name, index)
        try:
            path.write_text(self.script(name, str(index)))
            path.chmod(0o700)
        except OSError as error:
            raise LauncherError(["write", str(path)], None, str(error)) from error
        argv = self._add(name, index, size)
        try:
            answer = self.run(argv)
        except LauncherError as error:
            # Without an answer of the hub nobody knows whether it has heard.
            raise LauncherError(argv, None, error.tail) from error
        blocks = self.accepted(answer, 1)
        if not blocks:
            self._clear_sick(self._results())
            raise LauncherError(argv, None, f"the hub has taken no job: {answer.strip()[:300]!r}")
        return blocks[0]

    def accepted(self, answer: str, n: int) -> list[BlockId]:
        """`-printId` prints the id, older clients a sentence; 0 is what a hub says that takes nothing of a sick batch."""
        found = re.search(r"^(?:your job )?(\d+)\b", answer.strip(), re.MULTILINE)
        return [f"parasol:{found[1]}"] if found and int(found[1]) else []

    def find(self, name: str) -> list[BlockId]:
        """What we know, and what is listed with one of the scripts of this name."""
        record = self.records.get(name)
        known = list(record.blocks) if record is not None else []
        ended = record.ended if record is not None else {}
        for one in sorted(self._all_jobs(), key=lambda one: _number(one.block)):
            if one.name == name and one.block not in known:
                known.append(one.block)
        if known:
            self.records.keep(Submission(name, record.n if record is not None else len(known), known, ended))
        elif record is not None:
            record.disowned = True
            self.records.keep(record)
        return known

    def _all_jobs(self) -> list[Listed]:
        """`list jobs`: those of all users, with their commands."""
        return jobs_in(self.run([*self._parasol(None), "list", "jobs"]), self.directory)

    def listed(self, names: Collection[str]) -> list[Listed]:
        """`pstat2` of our batches if all is known; `list jobs` where a name is to be found."""
        if any((record := self.records.get(name)) is None or not record.blocks or record.disowned for name in names):
            return self._all_jobs()
        results = self._results()
        if not results:
            self.run([*self._parasol(None), "ping", "1"])
        found = []
        for file in results:
            for ident, where in batch_in(self.run([*self._parasol(file), "pstat2"])).items():
                record = self.records.of(f"parasol:{ident}")
                state = BlockState.RUNNING if where else BlockState.PENDING
                found.append(Listed(f"parasol:{ident}", record.name if record is not None else "", state, where))
        return found

    def _results(self) -> list[Path]:
        """The results files that were ever named; one exists only when a job of its batch has ended."""
        return [path.with_suffix("") for path in sorted(self.directory.glob("results.*.batch"))]

    def remove(self, blocks: Sequence[BlockId]) -> None:
        """`remove job ID`, one at a time; of what has ended it says nothing."""
        for block in blocks:
            self.run([*self._parasol(None), "remove", "job", str(_number(block))])

    def verdicts(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """The lines of the results files, and of the one that a hub falls back to after a crash."""
        found: dict[BlockId, str] = {}
        for path in [*self._results(), self.directory / "para.results"]:
            try:
                text = path.read_text(errors="replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LauncherError(["read", str(path)], None, str(error)) from error
            found |= results_in(text, self.directory)
        return {block: found[block] for block in blocks if block in found}

    def reasons(self, waiting: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """Sick nodes are never tried again by themselves: clear them, and say so."""
        sick = self.run([*self._parasol(None), "list", "sick"]).split()
        if not sick:
            return {}
        self._clear_sick(self._results())
        return {block: f"nodes had been taken for sick, and were cleared: {' '.join(sick[:5])}" for block in waiting}

    def _clear_sick(self, results: Sequence[Path]) -> None:
        for file in results:
            self.run([*self._parasol(file), "clear", "sick"])


def jobs_in(text: str, directory: Path) -> list[Listed]:
    """Of what `list jobs` prints: ID NODE|none USER DATE TIME COMMAND; only those that run a script in `directory`."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 6 and words[0].isdigit() and (name := _name_of(words[5], directory)):
            waits = words[1] == "none"
            found.append(
                Listed(
                    f"parasol:{words[0]}", name, BlockState.PENDING if waits else BlockState.RUNNING, "" if waits else words[1]
                )
            )
    return found


def batch_in(text: str) -> dict[str, str]:
    """Of what `pstat2` prints: id to node, empty for a job that waits. Raises LauncherError for what is no such answer."""
    found = {}
    if "Total Jobs:" not in text:
        raise LauncherError(["parasol", "pstat2"], None, f"its answer makes no sense: {text.strip()[:300]!r}")
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["r"] and len(words) >= 6:
            found[words[1]] = words[5]
        elif words[:1] == ["q"] and len(words) >= 2:
            found[words[1]] = ""
    return found


def results_in(text: str, directory: Path) -> dict[BlockId, str]:
    """Of a results file, its whole lines: how jobs that ran one of our scripts have ended. The status is that of wait()."""
    found = {}
    for line in text[: text.rfind("\n") + 1].splitlines():
        words = line.split(None, 11)
        if (
            len(words) == 12
            and words[0].isdigit()
            and words[2].isdigit()
            and _name_of(words[11].strip("'").split()[0], directory)
        ):
            status = int(words[0])
            code = os.waitstatus_to_exitcode(status)
            found[f"parasol:{words[2]}"] = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    return found


def _name_of(script: str, directory: Path) -> str:
    """The submission's name, from the path of a worker's script."""
    path = Path(script)
    found = re.fullmatch(r"(.+)\.\d+\.sh", path.name)
    return found[1] if found and path.parent == directory else ""


def _number(block: BlockId) -> int:
    found = re.fullmatch(r"parasol:(\d+)", block)
    if found is None:
        raise LauncherError(["parasol"], None, f"{block} is not a block of parasol")
    return int(found[1])

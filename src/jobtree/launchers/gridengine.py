"""Workers as array jobs of Grid Engine (SGE, Son of Grid Engine, Univa, Altair, Open Cluster Scheduler): qsub, qstat, qdel.

Learned on a real one (8.1.9): a job that is done is not listed any more, and `qacct` then needs both `failed` and `exit_status`;
a job with an error stays in the queue as Eqw for ever; requests that nothing can satisfy wait for ever; blanks in names break
the answer of qsub; memory is counted per slot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId, BlockState, SubmitRefused, WorkerSize
from jobtree.launchers.batch import BatchLauncher, Job, Listed, user_name
from jobtree.launchers.settings import setting

#: For the address space of supervisor, nursery and runner, which h_vmem counts, with a kill: 172 MiB were measured, and libraries
#: that a script imports, and threads, take far more than they use.
ADDRESS_SPACE = 1 << 30
OWN_SHARE = 512 << 20
#: Attributes that count address space and not memory in use.
COUNTS_ADDRESSES = ("h_vmem", "s_vmem", "virtual_free", "virtual_used")
_BLOCK = re.compile(r"gridengine:(\d+)\.(\d+)\Z")


class GridEngineLauncher(BatchLauncher):
    """One array job for each submission; block `gridengine:JOB.TASK` is its task number TASK, from 1."""

    @dataclass(frozen=True)
    class Options:
        """How jobs are asked for."""

        queue: str | None = None
        account: str | None = None
        args: tuple[str, ...] = ()
        pe: str | None = setting(None, metavar="NAME", help="parallel environment for workers of several cpus, on one host")
        memory: tuple[str, ...] = setting(
            (), metavar="NAME,...", help="what memory is asked for as (default: h_vmem if it is consumable, else mem_free)"
        )
        memory_per: str = setting(
            "auto", choices=("slot", "job", "auto"), help="what these count (default auto: as `qconf -sc` says)"
        )
        gpu: str | None = setting(None, metavar="NAME", help="what gpus are asked for as, such as gpu")

    title = "Grid Engine"
    first_task = 1
    programs = ("qsub", "qstat", "qdel")
    variables = ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_CLUSTER_NAME")
    busy = re.compile(
        r"commlib error|unable to (send|contact)|can't connect|Error reading answer|timeout|job rejected: [^\n]*(max_u_jobs|"
        r"max_jobs|jobs? limit|only allows? \d+ jobs)|denied: [^\n]*(limit|maximum)",
        re.IGNORECASE,
    )

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        super().__init__(command, directory, settings or GridEngineLauncher.Options())
        self._complexes: dict[str, str] | None = None

    def job(self, name: str, n: int, size: WorkerSize) -> Job:
        """`qsub -terse -t 1-n`, with the script on its stdin."""
        told = self.settings
        slots = max(1, math.ceil(size.cpus))
        argv = ["qsub", "-terse", "-cwd", "-S", "/bin/sh", "-N", name, "-j", "y", "-o", f"{name}.$TASK_ID.job", "-r", "n"]
        argv += ["-t", f"1-{n}"]
        if slots > 1:
            argv += ["-pe", self._pe(slots), str(slots)]
        wants = [f"{attribute}={amount}" for attribute, amount in self._memory_requests(size, slots)]
        if size.walltime_seconds is not None:
            wants.append(f"h_rt={math.ceil(size.walltime_seconds)}")
        if size.gpus:
            wants.append(f"{self._gpu()}={size.gpus}")
        argv += ["-l", ",".join(wants)]
        argv += ["-q", told.queue] if told.queue else []
        argv += ["-P", told.account] if told.account else []
        return Job([*argv, *told.args], self.script(name, "$((SGE_TASK_ID - 1))"))

    def _pe(self, slots: int) -> str:
        if self.settings.pe:
            return str(self.settings.pe)
        try:
            there = ", ".join(self.run(["qconf", "-spl"]).split()) or "none"
        except LauncherError:
            there = "which `qconf -spl` would list"
        raise SubmitRefused(
            ["qsub"], None, f"workers of {slots} cpus need a parallel environment: --gridengine-pe NAME (there are: {there})"
        )

    def _gpu(self) -> str:
        if self.settings.gpu:
            return str(self.settings.gpu)
        raise SubmitRefused(["qsub"], None, "how are gpus asked for here? say --gridengine-gpu NAME")

    def _memory_requests(self, size: WorkerSize, slots: int) -> list[tuple[str, str]]:
        requests = []
        for attribute in self.settings.memory or self._usual_memory():
            own = ADDRESS_SPACE if attribute in COUNTS_ADDRESSES else OWN_SHARE
            bytes_ = size.memory_bytes + own
            per_job = self.settings.memory_per == "job" or (
                self.settings.memory_per == "auto" and self._consumables().get(attribute) == "JOB"
            )
            requests.append((attribute, f"{math.ceil(bytes_ / (1 if per_job else slots) / 2**20)}M"))
        return requests

    def _usual_memory(self) -> tuple[str, ...]:
        consumable = self._consumables()
        for attribute in ("h_vmem", "virtual_free", "mem_free"):
            if consumable.get(attribute, "NO") != "NO":
                return (attribute,)
        return ("mem_free",) if consumable else ("h_vmem",)

    def _consumables(self) -> dict[str, str]:
        """By attribute: NO, YES (counted per slot) or JOB; empty where nobody may know."""
        if self._complexes is None:
            try:
                self._complexes = consumables_in(self.run(["qconf", "-sc"]))
            except LauncherError:
                self._complexes = {}
        return self._complexes

    def accepted(self, answer: str, n: int) -> list[BlockId]:
        """`-terse` prints JOB.1-n:1; what else a site's scripts print is passed over."""
        found = re.search(r"^(\d+)(?:\.\d+-\d+:\d+)?\s*$", answer, re.MULTILINE)
        return [f"gridengine:{found[1]}.{task}" for task in range(1, n + 1)] if found else []

    def siblings(self, block: BlockId, n: int) -> list[BlockId]:
        """The tasks from 1 to `n` of the same job."""
        job, _ = _parts(block)
        return [f"gridengine:{job}.{task}" for task in range(1, n + 1)]

    def listed(self, names: Collection[str]) -> list[Listed]:
        """`qstat` of all our own jobs, each task for itself."""
        return jobs_in(self.run(["qstat", "-u", user_name(), "-g", "d", "-xml"]))

    def remove(self, blocks: Sequence[BlockId]) -> None:
        """`qdel JOB.TASK ...`."""
        self.run(["qdel", *(f"{job}.{task}" for job, task in map(_parts, blocks))])

    def reasons(self, waiting: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """What `qstat -j` knows of the first jobs that wait."""
        jobs = {block: _parts(block)[0] for block in waiting[:10]}
        if not jobs:
            return {}
        told = reasons_in(self.run(["qstat", "-j", ",".join(dict.fromkeys(jobs.values()))]))
        return {block: told[job] for block, job in jobs.items() if job in told}

    def verdicts(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """What `qacct` has of jobs that are gone; one call a job, since it reads one only."""
        found: dict[BlockId, str] = {}
        for job in dict.fromkeys(_parts(block)[0] for block in blocks[:CHECKED]):
            try:
                found |= ends_in(self.run(["qacct", "-j", job]))
            except LauncherError as error:
                if error.status is None:
                    raise
        return {block: found[block] for block in blocks if block in found}

    def walltime_limit(self) -> float | None:
        """h_rt of the queue, if there is one queue and it has a limit."""
        queue = self.settings.queue or "all.q"
        try:
            found = re.search(r"^h_rt\s+(\S+)", self.run(["qconf", "-sq", queue]), re.MULTILINE)
        except LauncherError:
            return None
        return seconds_in(found[1]) if found else None


#: Blocks whose jobs are looked up in the accounting at one poll, at the most.
CHECKED = 20


def consumables_in(complexes: str) -> dict[str, str]:
    """Of what `qconf -sc` prints: which attributes are consumable, and how (NO, YES, JOB); shortcuts too."""
    found = {}
    for line in complexes.splitlines():
        words = line.split()
        if len(words) >= 8 and not line.startswith("#"):
            found[words[0]] = found[words[1]] = words[5]
    return found


def jobs_in(xml: str) -> list[Listed]:
    """Of what `qstat -xml` prints: every task for itself. Raises LauncherError for what is no such answer."""
    import xml.etree.ElementTree as ET

    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise LauncherError(["qstat", "-xml"], None, f"its answer makes no sense ({error}): {xml.strip()[:300]!r}") from None
    if root.tag.rpartition("}")[2] != "job_info":
        raise LauncherError(["qstat", "-xml"], None, f"its answer makes no sense: <{root.tag}>")
    return [listed for job in root.iter("job_list") for listed in _tasks_of(job)]


def _tasks_of(job: Any) -> list[Listed]:
    number, name = job.findtext("JB_job_number", ""), job.findtext("JB_name", "")
    letters, where = job.findtext("state", ""), job.findtext("queue_name") or ""
    state, reason = _state(letters, where)
    tasks = _tasks(job.findtext("tasks") or "1")
    return [Listed(f"gridengine:{number}.{task}", name, state, reason) for task in tasks]


def _tasks(words: str) -> list[int]:
    """From "7", "1-10:3", "2,5-6:1"."""
    found: list[int] = []
    for part in words.split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part.strip())
        if span:
            found += range(int(span[1]), int(span[2] or span[1]) + 1, int(span[3] or 1))
    return found


def _state(letters: str, where: str) -> tuple[BlockState, str]:
    """Letters combine: Error, hold, queued, waiting, running, transferring, Restarted, suspended (s S T), deleted."""
    if "E" in letters:
        return BlockState.ERROR, ""
    if "h" in letters:
        return BlockState.HELD, ""
    if "d" in letters:
        return BlockState.RUNNING, "it is being deleted"
    if any(letter in letters for letter in "sST"):
        return BlockState.RUNNING, f"it is suspended on {where}"
    if "q" in letters or "w" in letters:
        return BlockState.PENDING, ""
    if any(letter in letters for letter in "rtR"):
        return BlockState.RUNNING, where
    return BlockState.UNKNOWN, f"state {letters!r}"


def reasons_in(text: str) -> dict[str, str]:
    """Of what `qstat -j` prints: job number to why it waits. An error comes before what the scheduler says."""
    found: dict[str, list[str]] = {}
    errors: dict[str, str] = {}
    job, telling = "", False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "job_number":
            job, telling = value.strip(), False
        elif key.startswith("error reason"):
            errors.setdefault(job, re.sub(r"^\s*\S+ \S+ \[[^]]*\]: ", "", value).strip())
        elif key == "scheduling info" or (telling and line.startswith(" " * 20)):
            telling = True
            words = value if key == "scheduling info" else line
            found.setdefault(job, []).append(words.strip())
        else:
            telling = False
    return {job: errors.get(job) or _shortened(found.get(job, [])) for job in {*found, *errors} if job}


def _shortened(lines: list[str]) -> str:
    """The scheduler has a line for each host; three will do."""
    lines = [line for line in dict.fromkeys(lines) if line]
    more = f"; and {len(lines) - 3} more such" if len(lines) > 3 else ""
    return "; ".join(lines[:3]) + more


def ends_in(accounts: str) -> dict[BlockId, str]:
    """Of what `qacct -j` prints: how each task has ended, the last run of it if there are several."""
    found: dict[BlockId, str] = {}
    for block in re.split(r"^=+$", accounts, flags=re.MULTILINE):
        told = dict(line.split(None, 1) for line in block.splitlines() if len(line.split(None, 1)) == 2)
        if "jobnumber" in told:
            task = told.get("taskid", "undefined").strip()
            ident = f"gridengine:{told['jobnumber'].strip()}.{task if task.isdigit() else '1'}"
            found[ident] = _end(told.get("failed", "0").strip(), told.get("exit_status", "0").strip())
    return found


def _end(failed: str, status: str) -> str:
    code, _, words = failed.partition(":")
    status = re.sub(r"\s+", " ", status)
    if code.strip() == "0":
        return f"exit status {status}"
    return f"{words.strip() or 'failed ' + code.strip()} (exit status {status})"


def seconds_in(words: str) -> float | None:
    """Of a limit such as INFINITY, 3600 or 24:0:0."""
    parts = words.split(":")
    if not all(part.isdigit() for part in parts):
        return None
    return float(sum(int(part) * 60**place for place, part in enumerate(reversed(parts))))


def _parts(block: BlockId) -> tuple[str, str]:
    found = _BLOCK.match(block)
    if found is None:
        raise LauncherError(["qstat"], None, f"{block} is not a block of Grid Engine")
    return found[1], found[2]

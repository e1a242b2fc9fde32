"""Workers as array jobs of LSF: bsub, bjobs, bkill, and bhist on doubt.

What is known of it is from IBM's pages, from OpenLava, and from what other projects have recorded: every refusal ends with 255,
its text is on stderr; lines may stand before an answer; a job may be unknown right after its submission, and is forgotten an hour
after its end; a bare number may be KB, MB or GB, so sizes are written with their unit; some sites reserve memory per slot.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId, BlockState, WorkerSize
from jobtree.launchers.batch import BatchLauncher, Job, Listed
from jobtree.launchers.settings import setting

OWN_SHARE = 512 << 20
#: How to ask bjobs, the best first; older versions have no -json, or no -o.
FIELDS = (
    "jobid jobindex job_name stat exit_code exit_reason exec_host pend_reason",
    "jobid jobindex job_name stat exit_code exec_host",
)
_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_NOBODY = re.compile(r"No (unfinished )?job found|is not found", re.IGNORECASE)
_GONE_ALREADY = re.compile(r"already finished|No matching job found|is being terminated|Operation is in progress", re.IGNORECASE)
_WAITING = {"PEND", "WAIT"}
_SUSPENDED = {"USUSP", "SSUSP"}
_ENDED = {"DONE", "EXIT", "POST_DONE", "POST_ERR"}


class LsfLauncher(BatchLauncher):
    """One array job for each submission; block `lsf:JOB[INDEX]` is its element number INDEX, from 1."""

    @dataclass(frozen=True)
    class Options:
        """How jobs are asked for."""

        queue: str | None = None
        account: str | None = None
        args: tuple[str, ...] = ()
        units: str = setting(
            "suffix",
            choices=("suffix", "KB", "MB", "GB"),
            help="sizes: with their unit, or as bare numbers of this one",
        )
        memory_per: str = setting(
            "auto", choices=("slot", "job", "auto"), help="what rusage[mem] reserves for (default auto: as `bparams -a` says)"
        )

    title = "LSF"
    first_task = 1
    programs = ("bsub", "bjobs", "bkill")
    variables = ("LSF_ENVDIR", "LSF_BINDIR", "LSF_SERVERDIR", "LSF_LIBDIR", "XLSF_UIDDIR", "LSF_VERSION")
    busy = re.compile(
        r"please wait|not responding|still trying|LSF is down|non-LSF host|cannot connect|pending job|"
        r"job limit|threshold|try later",
        re.IGNORECASE,
    )

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        super().__init__(command, directory, settings or LsfLauncher.Options())
        self._form = 0
        self._per_slot: bool | None = None

    def job(self, name: str, n: int, size: WorkerSize) -> Job:
        """`bsub -J name[1-n]`, with the script on its stdin."""
        told = self.settings
        slots = max(1, math.ceil(size.cpus))
        memory = size.memory_bytes + OWN_SHARE
        share = math.ceil(memory / slots) if slots > 1 and self._reserves_per_slot() else memory
        argv = ["bsub", "-J", f"{name}[1-{n}]", "-n", str(slots), "-rn", "-o", f"{name}.%I.job"]
        argv += [
            "-R",
            f"select[mem>{self._size(memory)}] rusage[mem={self._size(share)}] span[hosts=1]",
            "-M",
            self._size(memory),
        ]
        argv += ["-W", str(math.ceil(size.walltime_seconds / 60))] if size.walltime_seconds is not None else []
        argv += ["-gpu", f"num={size.gpus}"] if size.gpus else []
        argv += ["-q", told.queue] if told.queue else []
        argv += ["-P", told.account] if told.account else []
        return Job([*argv, *told.args], self.script(name, "$((LSB_JOBINDEX - 1))"))

    def _size(self, bytes_: int) -> str:
        if self.settings.units == "suffix":
            return f"{math.ceil(bytes_ / 2**20)}MB"
        return str(math.ceil(bytes_ / _UNITS[self.settings.units]))

    def _reserves_per_slot(self) -> bool:
        if self.settings.memory_per != "auto":
            return bool(self.settings.memory_per == "slot")
        if self._per_slot is None:
            try:
                found = re.search(r"RESOURCE_RESERVE_PER_(TASK|SLOT)\s*=\s*[Yy]", self.run(["bparams", "-a"]))
            except LauncherError:
                found = None
            self._per_slot = found is not None
        return self._per_slot

    def accepted(self, answer: str, n: int) -> list[BlockId]:
        """`Job <16> is submitted to ...`, maybe after lines of other kinds."""
        found = re.search(r"Job <(\d+)> is submitted", answer)
        return [f"lsf:{found[1]}[{index}]" for index in range(1, n + 1)] if found else []

    def siblings(self, block: BlockId, n: int) -> list[BlockId]:
        """The elements from 1 on of the same job."""
        return [f"lsf:{_id(block).partition('[')[0]}[{index}]" for index in range(1, n + 1)]

    def listed(self, names: Collection[str]) -> list[Listed]:
        """`bjobs -a` of all our own jobs: as JSON, and where there is none from the wide table."""
        while True:
            argv = ["bjobs", "-a", "-json", "-o", FIELDS[self._form]] if self._form < len(FIELDS) else ["bjobs", "-a", "-w"]
            try:
                answer = self.run(argv)
            except LauncherError as error:
                if error.status is not None and _NOBODY.search(error.tail):
                    return []
                if self._form < len(FIELDS) and re.search(
                    r"invalid option|illegal|unknown field|usage", error.tail, re.IGNORECASE
                ):
                    self._form += 1
                    continue
                raise
            return records_in(answer) if self._form < len(FIELDS) else table_in(answer)

    def remove(self, blocks: Sequence[BlockId]) -> None:
        """`bkill JOB[INDEX] ...`; it ends with 255 if one of them had ended already."""
        try:
            self.run(["bkill", *map(_id, blocks)])
        except LauncherError as error:
            lines = [line for line in error.tail.splitlines() if line.strip()]
            if error.status is None or not lines or not all(_GONE_ALREADY.search(line) for line in lines):
                raise

    def verdicts(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """What `bhist -l` knows of jobs that bjobs has forgotten."""
        jobs = dict.fromkeys(_id(block).partition("[")[0] for block in blocks)
        found = ends_in(self.run(["bhist", "-l", *list(jobs)[:20]]))
        return {block: found[block] for block in blocks if block in found}

    def reasons(self, waiting: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """What `bjobs -p` says, one job at a time."""
        found = {}
        for block in waiting[:5]:
            lines = self.run(["bjobs", "-p", _id(block)]).splitlines()[1:]
            told = [line.strip(" ;") for line in lines if line.startswith(" ") and line.strip()]
            if told:
                found[block] = "; ".join(told[:3])
        return found


def records_in(text: str) -> list[Listed]:
    """Of what `bjobs -json` prints, other lines before it passed over. Raises LauncherError for what is no such answer."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        if not text.strip() or _NOBODY.search(text):
            return []
        raise LauncherError(["bjobs"], None, f"its answer makes no sense: {text.strip()[:300]!r}")
    try:
        records = json.loads(text[start : end + 1])["RECORDS"]
    except (ValueError, KeyError, TypeError) as error:
        raise LauncherError(["bjobs"], None, f"its answer makes no sense ({error!r}): {text.strip()[:300]!r}") from None
    return [_listed(record) for record in records if "ERROR" not in record and record.get("STAT")]


def _listed(record: Mapping[str, Any]) -> Listed:
    name, _, bracket = record.get("JOB_NAME", "").partition("[")
    number, _, of_array = record["JOBID"].partition("[")
    shown = bracket if bracket.rstrip("]").isdigit() else ""
    index = of_array.rstrip("]") or (record.get("JOBINDEX") or "0") or shown.rstrip("]")
    if index == "0" and shown:
        index = shown.rstrip("]")
    why = record.get("EXIT_REASON") or record.get("PEND_REASON") or ""
    return Listed(
        f"lsf:{number}[{index}]", name, *_state(record["STAT"], why, record.get("EXIT_CODE") or "", record.get("EXEC_HOST") or "")
    )


def table_in(text: str) -> list[Listed]:
    """Of what `bjobs -w` prints: JOBID USER STAT QUEUE FROM_HOST EXEC_HOST JOB_NAME SUBMIT_TIME; our names have no blanks."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].isdigit():
            continue
        name, _, index = words[6].partition("[")
        found.append(Listed(f"lsf:{words[0]}[{index.rstrip(']') or '0'}]", name, *_state(words[2], "", "", words[5])))
    return found


def _state(stat: str, why: str, code: str, where: str) -> tuple[BlockState, str]:
    if stat in _WAITING:
        return BlockState.PENDING, why
    if stat == "PSUSP":
        return BlockState.HELD, why or "suspended while it waits (bresume lets it go)"
    if stat in _SUSPENDED:
        return BlockState.RUNNING, f"it is suspended on {where}"
    if stat == "RUN":
        return BlockState.RUNNING, where
    if stat in _ENDED:
        return BlockState.ENDED, "DONE" if stat == "DONE" else " ".join(
            filter(None, [stat, why, f"(exit code {code})" if code else ""])
        )
    return BlockState.UNKNOWN, f"state {stat}: LSF has no word from the node" if stat in ("UNKWN", "ZOMBI") else f"state {stat!r}"


def ends_in(text: str) -> dict[BlockId, str]:
    """Of what `bhist -l` prints: how each job or element has ended. It wraps its lines in the middle of words."""
    found = {}
    for part in re.split(r"(?m)^(?=Job <)", text.replace("\n" + " " * 21, "")):
        head = re.match(r"Job <(\d+)(?:\[(\d+)\])?>", part)
        ends = re.findall(
            r"(Done successfully|Exited with exit code \d+|Exited by signal \d+|Exited; [^.]*|TERM_\w+: [^;.]*)", part
        )
        if head and ends:
            found[f"lsf:{head[1]}[{head[2] or '0'}]"] = "; ".join(dict.fromkeys(ends))
    return found


def _id(block: BlockId) -> str:
    found = re.fullmatch(r"lsf:(\d+\[\d+\])", block)
    if found is None:
        raise LauncherError(["bjobs"], None, f"{block} is not a block of LSF")
    return found[1]

"""Workers as array jobs of Slurm: sbatch, squeue, scancel, and sacct on doubt.

Learned on a real one (22.05): requeueing is the default, so a lost worker would come back minutes later; the variables SBATCH_*
and SLURM_* of a surrounding job change what is submitted; some requests that can't be satisfied wait for ever and say so only as
a reason; scancel of what has ended is no error; what has ended is listed for five minutes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId, BlockState, WorkerSize
from jobtree.launchers.batch import BatchLauncher, Job, Listed, user_name
from jobtree.launchers.settings import setting

#: What supervisor and nursery take of memory beside the targets.
OWN_SHARE = 512 << 20
#: Seconds before its end at which Slurm warns a job.
WARNING_SECONDS = 60

_RUNNING = frozenset({"RUNNING", "CONFIGURING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED", "SUSPENDED"})
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED"})
_HELD = frozenset({"REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
_ENDED = frozenset({
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED",
})  # fmt: skip
#: Reasons of waiting jobs that somebody has to do something about, and what that may be.
_ADVICE = {
    "PartitionTimeLimit": "more time is asked for than the partition allows: a shorter --worker-time, or another --queue",
    "PartitionNodeLimit": "the partition is too small: another --queue",
    "PartitionConfig": "the partition has no node of this size: smaller workers, or another --queue",
    "BadConstraints": "no node satisfies this: other --slurm-constraint, --worker-cpus or --worker-memory",
    "ReqNodeNotAvail": "nodes are down or reserved",
    "PartitionDown": "the partition is down: another --queue",
    "PartitionInactive": "the partition is inactive: another --queue",
    "InvalidAccount": "the account is not valid: another --account",
    "InvalidQOS": "the qos is not valid: another --slurm-qos",
}


class SlurmLauncher(BatchLauncher):
    """One array job for each submission; block `slurm:JOB_TASK` is its task number TASK, from 0."""

    @dataclass(frozen=True)
    class Options:
        """How jobs are asked for."""

        queue: str | None = None
        account: str | None = None
        args: tuple[str, ...] = ()
        qos: str | None = setting(None, metavar="NAME", help="quality of service")
        constraint: str | None = setting(None, metavar="WORDS", help="features that nodes must have")
        memory_per: str = setting("node", choices=("node", "cpu"), help="ask memory by --mem or --mem-per-cpu (default node)")
        requeue: bool = setting(False, metavar="YES|NO", help="let Slurm start lost workers again itself (default no)")

    title = "Slurm"
    programs = ("sbatch", "squeue", "scancel")
    variables = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")
    busy = re.compile(
        r"socket timed out|unable to contact|connection refused|connect failure|temporarily|try again|slurmctld is|"
        r"Resource temporarily unavailable|job submit limit|QOSMaxSubmit|AssocMaxSubmit|Zero Bytes were transmitted",
        re.IGNORECASE,
    )

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        super().__init__(command, directory, settings or SlurmLauncher.Options())

    def job(self, name: str, n: int, size: WorkerSize) -> Job:
        """`sbatch --array=0-(n-1)`, with the script on its stdin."""
        told = self.settings
        cpus = max(1, math.ceil(size.cpus))
        memory = math.ceil((size.memory_bytes + OWN_SHARE) / 2**20)
        argv = ["sbatch", "--parsable", f"--job-name={name}", f"--array=0-{n - 1}", f"--output={name}.%a.job"]
        argv += ["--open-mode=append", "--nodes=1", "--ntasks=1", f"--cpus-per-task={cpus}"]
        argv += [f"--mem-per-cpu={math.ceil(memory / cpus)}M" if told.memory_per == "cpu" else f"--mem={memory}M"]
        argv += ["--requeue" if told.requeue else "--no-requeue"]
        if size.walltime_seconds is not None:
            argv.append(f"--time={math.ceil(size.walltime_seconds / 60)}")
            if size.walltime_seconds > 2 * WARNING_SECONDS:
                argv.append(f"--signal=B:USR2@{WARNING_SECONDS}")
        argv += [f"--gres=gpu:{size.gpus}"] if size.gpus else []
        argv += [f"--partition={told.queue}"] if told.queue else []
        argv += [f"--account={told.account}"] if told.account else []
        argv += [f"--qos={told.qos}"] if told.qos else []
        argv += [f"--constraint={told.constraint}"] if told.constraint else []
        return Job([*argv, *told.args], self.script(name, "$SLURM_ARRAY_TASK_ID"))

    def accepted(self, answer: str, n: int) -> list[BlockId]:
        """`--parsable` prints JOB, or JOB;CLUSTER."""
        found = re.search(r"^(\d+)(?:;\S*)?\s*$", answer, re.MULTILINE)
        return [f"slurm:{found[1]}_{task}" for task in range(n)] if found else []

    def siblings(self, block: BlockId, n: int) -> list[BlockId]:
        """The tasks from 0 on of the same job."""
        job = _id(block).partition("_")[0]
        return [f"slurm:{job}_{task}" for task in range(n)]

    def listed(self, names: Collection[str]) -> list[Listed]:
        """`squeue` of our own jobs with these names, those that have ended lately too, each task for itself."""
        argv = ["squeue", "--noheader", "--array", f"--user={user_name()}", "--states=all", "--format=%i|%j|%T|%r|%N"]
        return jobs_in(self.run([*argv, f"--name={','.join(names) or 'jt-none'}"]))

    def remove(self, blocks: Sequence[BlockId]) -> None:
        """`scancel JOB_TASK ...`; of what has ended it says nothing."""
        self.run(["scancel", "--quiet", *map(_id, blocks)])

    def verdicts(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, str]:
        """What `sacct` has of jobs that squeue has forgotten."""
        jobs = ",".join(dict.fromkeys(_id(block).partition("_")[0] for block in blocks))
        found = ends_in(self.run(["sacct", "-nXP", "-j", jobs, "-o", "JobID,State,ExitCode"]))
        return {block: found[block] for block in blocks if block in found}

    def walltime_limit(self) -> float | None:
        """The partition's limit, the default one's if none is named."""
        queue = self.settings.queue
        try:
            answer = self.run(["sinfo", "--noheader", "--format=%P|%l", *([f"--partition={queue}"] if queue else [])])
        except LauncherError:
            return None
        limits = dict(line.split("|", 1) for line in answer.splitlines() if "|" in line)
        chosen = [limit for name, limit in limits.items() if queue or name.endswith("*")]
        return seconds_in(chosen[0]) if chosen else None


def jobs_in(text: str) -> list[Listed]:
    """Of what `squeue --format=%i|%j|%T|%r|%N` prints. Raises LauncherError for what is no such answer."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split("|")
        if not line.strip():
            continue
        if len(fields) != 5:
            raise LauncherError(["squeue"], None, f"its answer makes no sense: {line.strip()[:300]!r}")
        ident, name, state, reason, where = fields
        found.append(Listed(f"slurm:{ident}", name, *_state(state, reason, where)))
    return found


def _state(state: str, reason: str, where: str) -> tuple[BlockState, str]:
    reason = "" if reason in ("None", "(null)") else reason.strip("()")
    if state in _HELD or (state in _WAITING and ("Held" in reason or "held" in reason)):
        return BlockState.HELD, f"{reason or state} (scontrol release lets it go)"
    if state in _WAITING:
        advice = next((words for key, words in _ADVICE.items() if reason.startswith(key)), "")
        stuck = BlockState.ERROR if "Dependency" in reason or reason.startswith("Invalid") else BlockState.PENDING
        return stuck, f"{reason}: {advice}" if advice else reason
    if state in _RUNNING:
        return BlockState.RUNNING, f"it is suspended on {where}" if state in ("SUSPENDED", "STOPPED") else where
    if state in _ENDED:
        return BlockState.ENDED, state if not reason else f"{state} ({reason})"
    return BlockState.UNKNOWN, f"state {state!r}"


def ends_in(accounts: str) -> dict[BlockId, str]:
    """Of what `sacct -nXP -o JobID,State,ExitCode` prints: what has ended, and how."""
    found = {}
    for line in accounts.splitlines():
        ident, _, rest = line.strip().partition("|")
        state, _, code = rest.partition("|")
        if state.split(" ")[0].rstrip("+") in _ENDED:
            found[f"slurm:{ident}"] = f"{state} (exit code {code})"
    return found


def seconds_in(words: str) -> float | None:
    """Of a limit such as infinite, 30, 1:00, 12:00:00 or 2-00:00:00."""
    days, _, rest = words.strip().rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in [*parts, days or "0"]):
        return None
    if days:
        parts += ["0"] * (3 - len(parts))
    elif len(parts) == 1:
        parts = [*parts, "0"]
    return float(int(days or 0) * 86400 + sum(int(part) * 60**place for place, part in enumerate(reversed(parts))))


def _id(block: BlockId) -> str:
    found = re.fullmatch(r"slurm:(\d+_\d+)", block)
    if found is None:
        raise LauncherError(["squeue"], None, f"{block} is not a block of Slurm")
    return found[1]

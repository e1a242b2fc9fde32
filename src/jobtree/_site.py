"""What the administrators of a site allow: the table [site] of /etc/jobtree.toml, which no user's option can raise."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobtree import _option_values as parse
from jobtree import options
from jobtree.errors import UsageError

#: The commands that submit jobs: where one is found, and we are in no job, this is a login node, which many people share.
SUBMITTERS = ("qsub", "sbatch", "bsub", "parasol")
#: What a batch system calls the slots of the job that we are in.
IN_A_JOB = {"JOB_ID": "NSLOTS", "SLURM_JOB_ID": "SLURM_CPUS_ON_NODE", "LSB_JOBID": "LSB_DJOB_NUMPROC", "PBS_JOBID": "NCPUS"}
#: What local workers have on a login node where nobody says more: cpus, bytes, and how nice they are.
LOGIN_CPUS, LOGIN_MEMORY, LOGIN_NICE = 2.0, 4 << 30, 10


@dataclass(frozen=True)
class Site:
    """Limits for every run; None where there is none. ``min_poll`` in seconds."""

    max_workers: int | None = None
    max_blocks: int | None = None
    max_cpus: float | None = None
    max_memory: int | None = None
    min_poll: float | None = None
    launchers: tuple[str, ...] | None = None

    def refuse(self, launcher: str) -> None:
        """Raise UsageError for a launcher that is not allowed here."""
        if self.launchers is not None and launcher not in self.launchers:
            allowed = ", ".join(self.launchers) or "none"
            raise UsageError(f"the launcher {launcher} is not allowed here ({options.SITE_CONFIG}); allowed: {allowed}")


def _names(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UsageError(f'{what}: {value!r} is not a list of names such as ["local", "slurm"]')
    return tuple(value)


READERS = {
    "max_workers": parse.count, "max_blocks": parse.count, "max_cpus": parse.cpus, "max_memory": parse.size,
    "min_poll": parse.time, "launchers": _names,
}  # fmt: skip


def site() -> Site:
    """The limits of this machine; raises UsageError for a file that makes no sense."""
    path = options.SITE_CONFIG
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("site", {})
    except FileNotFoundError:
        return Site()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    return read(table, path)


def read(table: Any, path: Path) -> Site:
    """The limits that a table [site] sets."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{path}: [site] must be a table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in READERS:
            raise UsageError(f"{path}: [site] has no {key!r}; it has {', '.join(READERS)}")
        values[name] = READERS[name](value, f"{path}: [site] {key}")
    return Site(**values)


def is_login_node() -> bool:
    """Whether jobs can be submitted here, and we are in none; JOBTREE_LOGIN_NODE=no or =yes knows better."""
    told = os.environ.get("JOBTREE_LOGIN_NODE", "").lower()
    if told in parse.YES + parse.NO:
        return told in parse.YES
    return not any(name in os.environ for name in IN_A_JOB) and any(shutil.which(name) for name in SUBMITTERS)


def slots_of_job() -> float | None:
    """The cpus of the batch job that we are in, as far as it says; None outside."""
    for job, slots in IN_A_JOB.items():
        if job in os.environ and os.environ.get(slots, "").isdigit():
            return float(os.environ[slots]) or None
    return None

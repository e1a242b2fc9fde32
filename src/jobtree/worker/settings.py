"""What all targets of an epoch find around them: environment, directories, the script."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from jobtree.protocol import references

#: Variables that name the host or the batch job: a target finds those of its own node, not the master's.
HOST_VARIABLES = frozenset(
    """
    HOSTNAME HOSTTYPE HOST TMPDIR TMP TEMP TEMPDIR XDG_RUNTIME_DIR XDG_SESSION_ID
    CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL
    JOB_ID JOB_NAME JOB_SCRIPT QUEUE REQUEST REQNAME RESTARTED ENVIRONMENT ARC
    NHOSTS NSLOTS NQUEUES PE PE_HOSTFILE
    """.split()  # noqa: SIM905  # a list to be read
)
HOST_PREFIXES = ("SLURM_", "SLURMD_", "SBATCH_", "SGE_", "LSB_", "LSF_", "LS_", "PBS_", "PMI_", "PMIX_")


@dataclass(frozen=True)
class Settings:
    """As `Prepare` brings them; what is missing or None stays as it is in the worker's own process."""

    tree: str
    scratch: str  # the worker's private directory
    script: references.Script | None
    argv: list[str] | None
    cwd: str | None
    sys_path: list[str] | None
    environ: dict[str, str] | None
    umask: int | None
    modules: list[str]
    log_level: str

    @classmethod
    def of(cls, given: dict[str, Any], tree: str, scratch: str) -> Settings:
        """Read the map of the settings; `script` is a path, or `[path, module]` if run with `python -m`."""
        script = given.get("script")
        if isinstance(script, str):
            script = [script]
        return cls(
            tree=tree,
            scratch=scratch,
            script=references.Script.from_wire(script) if script else None,
            argv=given.get("argv"),
            cwd=given.get("cwd"),
            sys_path=given.get("sys_path"),
            environ=given.get("environ"),
            umask=given.get("umask"),
            modules=given.get("modules") or [],
            log_level=given.get("log_level") or "INFO",
        )

    def enter(self) -> None:
        """Make this process look like the master's, and import the script; raises whatever that raises."""
        if self.environ is not None:
            take_over(self.environ)
        if self.umask is not None:
            os.umask(self.umask)
        if self.sys_path is not None:
            sys.path[:] = [*self.sys_path, *(path for path in sys.path if path not in self.sys_path)]
        sys.path.append(os.path.join(self.scratch, "modules"))
        if self.argv is not None:
            sys.argv[:] = self.argv
        if self.cwd is not None:
            os.chdir(self.cwd)
        for name in self.modules:
            __import__(name)
        if self.script is not None:
            references.load_script(self.script)


def take_over(environ: dict[str, str]) -> None:
    """Make `environ` this process's environment, but for what names the host or the batch job."""
    own = {name: value for name, value in os.environ.items() if names_host(name)}
    others = {name: value for name, value in environ.items() if not names_host(name)}
    os.environ.clear()
    os.environ.update(others | own)
    time.tzset()


def names_host(name: str) -> bool:
    """Whether a variable names the host or the batch job."""
    return name in HOST_VARIABLES or name.startswith(HOST_PREFIXES)

"""Describes the machine, so that figures can be understood later: cpus, versions, and how fast its disk syncs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import zmq

SYNCS = 200


def describe(directory: Path) -> dict[str, Any]:
    """What matters for the figures; ``directory`` is where trees are made."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
        "pyzmq": zmq.__version__,
        "file_system": _file_system(directory),
        "fdatasync_us": round(fdatasync_microseconds(directory)),
        "commit": _commit(),
        "load_at_the_start": load(),
    }


def load() -> float:
    """How many processes wanted a cpu in the last minute."""
    return round(os.getloadavg()[0], 2)


def fdatasync_microseconds(directory: Path) -> float:
    """The median time of appending 4 KiB to a file and syncing it: what each turn of the master pays."""
    path = directory / "sync"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    taken = []
    try:
        for number in range(SYNCS):
            begun = time.perf_counter()
            os.pwrite(handle, bytes(4096), number * 4096)
            os.fdatasync(handle)
            taken.append(time.perf_counter() - begun)
    finally:
        os.close(handle)
        path.unlink()
    return statistics.median(taken) * 1e6


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """The type of the file system that holds ``directory``: that of the longest mount point above it."""
    path = str(directory.resolve())
    found = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _commit() -> str:
    here = Path(__file__).parent
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False)
    return asked.stdout.strip()

"""A million targets that wait: what they cost of memory, and how soon a master that was killed gives out the next one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.measure import Figures, Setting, Workload

COUNT = 1_000_000
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0


def workload(setting: Setting) -> Workload:
    """1,000,000 waiting children: memory of the master, and the way back after kill -9"""
    count = setting.scaled(COUNT, least=1000)

    def ours() -> Figures:
        few, _, _ = _life(1, setting)
        memory, created, restart = _life(count, setting)
        return {
            "master_bytes_per_target": (memory - few) / count,
            "master_mib": memory / 2**20,
            "created_and_begun_s": created,
            "restart_to_first_dispatch_s": restart,
        }

    what = f"{count:,} children wait; then the master is killed, and started again"
    return Workload("waiting", what, "master_bytes_per_target", False, {"jobtree": ours})


def _life(count: int, setting: Setting) -> tuple[int, float, float]:
    """Bytes that the master holds when its children wait; seconds until then; seconds of a restart until one is given out."""
    tree = Path(tempfile.mkdtemp(dir=setting.directory)) / "tree"
    master, created = _start(tree, count)
    memory = psutil.Process(master.pid).memory_info().rss
    _kill(master, tree)
    master, restart = _start(tree, count)
    _kill(master, tree)
    shutil.rmtree(tree.parent)
    return memory, created, restart


def _start(tree: Path, count: int) -> tuple[subprocess.Popen[bytes], float]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    begun = time.monotonic()
    argv = [sys.executable, "-m", "benchmarks.waiting", str(tree), str(count)]
    master = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": path})
    while not (tree / "given").exists():
        if master.poll() is not None or time.monotonic() - begun > PATIENCE:
            raise RuntimeError(f"no child of {count} was given out")
        time.sleep(0.005)
    return master, time.monotonic() - begun


def _kill(master: subprocess.Popen[bytes], tree: Path) -> None:
    (tree / "given").unlink()
    worker = psutil.Process(int((tree / "zero.pid").read_text()))
    for process in (master, worker):
        os.kill(process.pid, signal.SIGKILL)
    master.wait()
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.005)

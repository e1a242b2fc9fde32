"""File systems of a test's own, where it may mount some: one that can lose power, one that is soon full."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: EXT4_IOC_SHUTDOWN, which is XFS_IOC_GOINGDOWN; with NOLOGFLUSH nothing more reaches the disk, not even what was journaled.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


class Ext4:
    """A file system on a loop device, mounted at `path`."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.path = directory / "disk"
        self._image = directory / "disk.img"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()

    def mount(self) -> None:
        """Attach it; what a power cut has left is taken up by ext4 first."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def unmount(self) -> None:
        """Detach it; processes that were killed may hold it for a moment yet."""
        deadline = time.monotonic() + 30
        while subprocess.run(["umount", str(self.path)], capture_output=True, check=False, timeout=60).returncode:
            assert time.monotonic() < deadline, f"{self.path} is busy"
            time.sleep(0.02)

    def cut_power(self) -> None:
        """From now on nothing that is written gets to the disk, and what was not synced is lost."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


@contextmanager
def ext4(directory: Path, megabytes: int = 256) -> Iterator[Ext4]:
    """A file system that can lose power; the test is skipped where none can be made."""
    refuse_without_root()
    try:
        made = Ext4(directory, megabytes)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop-mounted ext4 here: {_words(error)}")
    try:
        yield made
    finally:
        if os.path.ismount(made.path):
            made.unmount()


@contextmanager
def tmpfs(path: Path, size: str) -> Iterator[Path]:
    """A small file system in memory; the test is skipped where none can be mounted."""
    refuse_without_root()
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs can be mounted here: {_words(error)}")
    try:
        yield path
    finally:
        _run("umount", "--lazy", str(path))


def refuse_without_root() -> None:
    """Skip the test for whoever may not mount."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


def _words(error: Exception) -> str:
    return str(getattr(error, "stderr", "") or error).strip()

"""Workers as processes on this machine, which outlive the master that started them.

A block is named by what no other process can have: its pid, its start time in clock ticks since boot, and
the boot's id. So a later master, which is not the parent, can tell whether a worker lives, and no signal ever
goes to a stranger that was given the pid of a worker long gone. TREE/blocks/NAME.json remembers which blocks
a submission brought; what a crash kept from being written there is found again in /proc by the words
`--block NAME --index K` on the worker's command line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobtree.errors import LauncherError
from jobtree.launchers.base import Availability, BlockId, BlockState, BlockStatus, WorkerSize, worker_command
from jobtree.launchers.shell import tail

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_SECONDS = 0.02


class LocalLauncher:
    """Starts workers here, each in a session of its own, with its output in TREE/blocks/NAME.K.out."""

    #: Seconds between two polls: they cost nobody anything.
    poll_seconds = 0.2

    @dataclass(frozen=True)
    class Options:
        """`grace_seconds`: how long a cancelled worker has between SIGTERM and SIGKILL."""

        grace_seconds: float = 5.0

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        self._command = list(command)
        self._directory = directory
        self._settings = settings or LocalLauncher.Options()
        self._children: dict[BlockId, subprocess.Popen[bytes]] = {}
        self._ended: dict[BlockId, BlockStatus] = {}

    def submit(self, name: str, n: int, size: WorkerSize) -> list[BlockId]:
        """Start `n` workers. They share this machine: `size` is theirs to keep to, not enforced here."""
        with _own_trouble(f"submit {name}"):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            blocks = self._recorded(name)
            first = max(blocks.values(), default=-1) + 1
            for index in range(first, first + n):
                blocks[self._start(name, index)] = index
                self._record(name, blocks)
        return [block for block, index in blocks.items() if index >= first]

    def poll(self) -> dict[BlockId, BlockStatus]:
        """The state of every block that was ever recorded in this tree."""
        with _own_trouble("poll"):
            blocks = [block for record in sorted(self._directory.glob("*.json")) for block in _read_record(record)]
            return {block: self._status(block) for block in blocks}

    def cancel(self, blocks: Collection[BlockId]) -> None:
        """SIGTERM, and after the grace SIGKILL; returns when all of them have ended.

        Only the worker itself is killed: its nursery notices, and kills what the worker has started.
        """
        with _own_trouble("cancel"):
            waiting = self._wait(_signal(self._alive(blocks), signal.SIGTERM))
            waiting = self._wait(_signal(waiting, signal.SIGKILL))
        if waiting:
            raise LauncherError(["kill", "-9", *waiting], None, "still there; in an uninterruptible system call?")

    def find(self, name: str) -> list[BlockId]:
        """Those recorded, ended or not, and those that a crash kept from being recorded, if they live; by their index."""
        with _own_trouble(f"find {name}"):
            recorded = self._recorded(name)
            blocks = recorded | dict(_search_proc(name))
            if blocks != recorded:
                self._record(name, blocks)
        return sorted(blocks, key=blocks.__getitem__)

    def describe(self, name: str, n: int, size: WorkerSize) -> str:
        """The command line of each worker."""
        lines = [" ".join(worker_command(self._command, name, index)) for index in range(n)]
        return "\n".join([f"start {n} here, each with {size}:", *lines])

    def available(self) -> Availability:
        """Wherever /proc is, as on any Linux."""
        if _start_ticks(os.getpid()) is None or not BOOT_ID.exists():
            return Availability(False, "the local launcher needs Linux's /proc")
        return Availability(True)

    def output_tail(self, block: BlockId) -> str:
        """The end of the file that the worker's own output went to."""
        with _own_trouble(f"read the output of {block}"):
            path = self._output_of(block)
            if path is None or not path.exists():
                return ""
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                return tail(file.read())

    def _start(self, name: str, index: int) -> BlockId:
        argv = worker_command(self._command, name, index)
        try:
            # O_APPEND: who writes from a later life must not write over what is there
            out = os.open(self._path(name, index), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            finally:
                os.close(out)
        except OSError as error:
            raise LauncherError(argv, None, str(error)) from error
        block = _identity(process.pid)
        assert block is not None, "a child that was not waited for is in /proc"
        self._children[block] = process
        return block

    def _status(self, block: BlockId) -> BlockStatus:
        if block in self._ended:
            return self._ended[block]
        ended = self._end_of_child(block) if block in self._children else _end_of_stranger(block)
        if ended is None:
            return BlockStatus(BlockState.RUNNING)
        self._ended[block] = BlockStatus(BlockState.ENDED, ended)
        return self._ended[block]

    def _end_of_child(self, block: BlockId) -> str | None:
        """How our own child ended; it is reaped by being asked. None while it lives."""
        status = self._children[block].poll()
        if status is None:
            return None
        del self._children[block]
        return f"killed by {_signal_name(-status)}" if status < 0 else f"exit status {status}"

    def _wait(self, blocks: list[BlockId]) -> list[BlockId]:
        """Give them the grace to end; gives back who lives on."""
        deadline = time.monotonic() + self._settings.grace_seconds
        while (blocks := self._alive(blocks)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return blocks

    def _alive(self, blocks: Collection[BlockId]) -> list[BlockId]:
        return [block for block in blocks if self._status(block).state is BlockState.RUNNING]

    def _recorded(self, name: str) -> dict[BlockId, int]:
        return _read_record(self._directory / f"{name}.json")

    def _record(self, name: str, blocks: dict[BlockId, int]) -> None:
        path = self._directory / f"{name}.json"
        new = self._directory / f"{name}.json.new"
        with new.open("w") as file:
            json.dump({"name": name, "blocks": blocks}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)

    def _path(self, name: str, index: int) -> Path:
        return self._directory / f"{name}.{index}.out"

    def _output_of(self, block: BlockId) -> Path | None:
        for record in self._directory.glob("*.json"):
            blocks = _read_record(record)
            if block in blocks:
                return self._path(record.name.removesuffix(".json"), blocks[block])
        return None


@contextmanager
def _own_trouble(what: str) -> Iterator[None]:
    """What goes wrong with our own files, and with /proc, is an error of the launcher like any other."""
    try:
        yield
    except OSError as error:
        raise LauncherError(what.split(), None, str(error)) from error


def _read_record(path: Path) -> dict[BlockId, int]:
    """Each block of a submission, and its index there."""
    try:
        return {str(block): int(index) for block, index in json.loads(path.read_text())["blocks"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LauncherError(["read", str(path)], None, f"no record of blocks: {error!r}") from error


def _end_of_stranger(block: BlockId) -> str | None:
    """Why a block that is not our child is over; None while it lives."""
    try:
        kind, pid, start, boot = block.split(":")
        number = int(pid)
    except ValueError:
        return "not a block of the local launcher"
    if kind != "local":
        return "not a block of the local launcher"
    if boot != _boot_id():
        return "started on another machine, or before this one was last booted"
    return None if str(_start_ticks(number)) == start else "no such process any more"


def _signal(blocks: Collection[BlockId], number: signal.Signals) -> list[BlockId]:
    """Signal what still is the process that the block names; gives back whom."""
    sent = []
    for block in blocks:
        pid = int(block.split(":")[1])
        if _identity(pid) != block:
            continue
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        sent.append(block)
    return sent


def _identity(pid: int) -> BlockId | None:
    start = _start_ticks(pid, zombies=True)
    return None if start is None else f"local:{pid}:{start}:{_boot_id()}"


def _start_ticks(pid: int, *, zombies: bool = False) -> int | None:
    """When the process began, in clock ticks since boot; None if there is none or it is a zombie."""
    fields = _stat_fields(pid)
    if fields is None or (fields[0] in "ZX" and not zombies):
        return None
    return int(fields[19])


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on; the second may hold blanks and parentheses."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat[stat.rfind(")") + 2 :].split()


def _search_proc(name: str) -> Iterator[tuple[BlockId, int]]:
    """Live processes whose command line says `--block name`: the workers, and not what they have forked."""
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    found = {pid: index for pid in pids if (index := _index_in_block(pid, name)) is not None}
    for pid, index in sorted(found.items()):
        fields = _stat_fields(pid)
        block = _identity(pid)
        if fields is None or block is None or fields[0] in "ZX" or int(fields[1]) in found:
            continue
        yield block, index


def _index_in_block(pid: int, name: str) -> int | None:
    """The K of `--block name --index K` on the command line of that process."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or somebody else's
        return None
    marks = [b"--block", os.fsencode(name), b"--index"]
    for at in range(len(words) - 3):
        if words[at : at + 3] == marks and words[at + 3].isdigit():
            return int(words[at + 3])
    return None


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

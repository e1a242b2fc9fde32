"""A runner: the child process that loads targets, runs them one at a time, and reports what comes of it."""

from __future__ import annotations

import atexit
import faulthandler
import fcntl
import os
import random
import resource
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

from jobtree import _context
from jobtree._promise import Cancelled, Failure
from jobtree._recording import Recorder, ResultKind, ranges
from jobtree.errors import Cause, StorageFailed
from jobtree.ids import Attempt, PromiseKey
from jobtree.protocol import blobs, payload
from jobtree.protocol.messages import (
    FLAG_FOLLOW_ON,
    FLAG_HIGH_WATER,
    FLAG_NAMED,
    FLAG_TEMP,
    INLINE_LIMIT,
    VALUE_BLOB,
    VALUE_CANCELLED,
    VALUE_FAILURE,
    VALUE_INLINE,
)
from jobtree.protocol.tracebacks import text_of

from . import channel
from .effects import Task
from .failure import Stage, failure_of
from .room import patiently
from .settings import Settings
from .stacks import answer_to_signal
from .surroundings import Attendance, Voice, refuse_scattered
from .texts import clean
from .traces import HIGH_DESCRIPTOR, LASTING_SECONDS, Traces

_KIB = 1024

#: Cause, children, flags, result, the promises in it, failure: as a row has them; and the data.
_Outcome = tuple[str, int, int, Any, list[int] | None, dict[str, Any] | None, bytes]


def run(settings: Settings, import_error: str, secret: bytes, descriptors: Sequence[int]) -> int:
    """Be a runner, from the fork to the end; returns the exit status."""
    tasks, reports, stdout, stderr, answers, page = descriptors
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # for life
    traces = Traces(stdout, stderr, secret, settings.log_level)
    voice = Voice(settings, _move(reports), _move(answers))
    for descriptor in (stdout, stderr):
        os.close(descriptor)
    faulthandler.enable(2)
    atexit._clear()  # what the nursery registered is the nursery's
    _reseed()
    ours = socket.socket(fileno=_move(tasks))
    shared = mmap(page, channel.PAGE_BYTES)
    answer_to_signal(_move(page))
    _Runner(settings, import_error, ours, shared, traces, voice).loop()
    atexit._run_exitfuncs()
    return 0


class _Runner:
    def __init__(
        self,
        settings: Settings,
        import_error: str,
        tasks: socket.socket,
        page: mmap,
        traces: Traces,
        voice: Voice,
    ) -> None:
        self._settings = settings
        self._tree = Path(settings.tree)
        self._around: Attendance | None = None
        self._import_error = import_error
        self._tasks = tasks
        self._page = page
        self._traces = traces
        self._voice = voice
        self._cpus: float | None = None
        self._cores: list[int] = []
        self._all_cores = os.sched_getaffinity(0)
        self._devices: list[str] | None = None
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._forked = False
        os.register_at_fork(after_in_child=self._be_a_fork)

    def loop(self) -> None:
        """Run what comes, until asked to leave or left alone."""
        buffer = bytearray(channel.LARGEST_DATAGRAM)
        view = memoryview(buffer)
        receive = self._tasks.recv_into
        while True:
            size = receive(buffer)
            if size <= len(channel.LEAVE):
                return
            self._run(channel.read_task(view[:size]))

    def _run(self, task: Task) -> None:
        """One attempt, from its task to its row."""
        started, begun = time.time(), time.monotonic()
        channel.show(self._page, *task.attempt, started)
        if task.form[1] != self._cpus:
            self._cpus = task.form[1]
            self._traces.set_threads(task.form[1])
        if task.devices is not None and task.devices != self._devices:
            self._devices = task.devices
            self._traces.set_devices(task.devices)
        if task.cores != self._cores:
            self._cores = task.cores
            os.sched_setaffinity(0, task.cores or self._all_cores)
        limit = task.form[4]
        around = Attendance(task, self._settings, self._voice, None if limit is None else begun + limit)
        self._around = around
        cause, created, flags, result, embeds, failure, data = self._attempt(task, around)
        if self._forked:
            self._leave_fork(cause)
        around.leave()
        wall = time.monotonic() - begun
        marked = self._traces.settle(task.attempt, wall)
        user, system, memory, high_water = self._measure(wall)
        row: tuple[Any, ...] = (
            *task.attempt, cause, created, flags | high_water, result, embeds, started, wall, user, system,
            memory, around.messages(), failure,
        )  # fmt: skip
        channel.show(self._page, 0, 0, 0.0)
        if around.cancels and not cause:
            row = (*row, around.cancels)
        self._voice.say((channel.ENDED, marked, row), data)

    def _attempt(self, task: Task, around: Attendance) -> _Outcome:
        """Load and run the target."""
        stage = Stage.LOADING
        try:
            target = self._load(task)
            stage = Stage.RUNNING
            recorder = Recorder(task.attempt, target, task.ordinal, around)
            with _context.running(recorder):
                returned = target.run()
                stage = Stage.FINISHING
                result, embeds, data = self._finish(recorder, returned, around)
        except BaseException as error:  # noqa: BLE001  # every escape is a failure, SystemExit too
            return self._failed(error, stage, around)
        flags = (FLAG_FOLLOW_ON if recorder.has_follow_on else 0) | (FLAG_TEMP if around.used_temp else 0)
        flags |= FLAG_NAMED if recorder.named else 0
        return "", recorder.children, flags, result, embeds, None, data

    def _load(self, task: Task) -> Any:
        data = task.payload
        if task.blob is not None:
            size, sha, epoch, number, n = task.blob
            data = blobs.read_blob(blobs.blob_path(self._tree, epoch, number, n), blobs.BlobName(size, sha))
        values = {PromiseKey(*value[:3]): self._value(*value[3:]) for value in task.values}
        return payload.loads(data, values, self._voice.code)

    def _value(self, kind: int, argument: Any, data: bytes) -> object:
        """What takes a promise's place."""
        if kind == VALUE_INLINE:
            return payload.Stored(lambda: data)
        if kind == VALUE_BLOB:
            size, sha, epoch, number = argument
            path = blobs.blob_path(self._tree, epoch, number, blobs.RESULT)
            return payload.Stored(lambda: blobs.read_blob(path, blobs.BlobName(size, sha)))
        if kind == VALUE_FAILURE:
            return Failure(argument["name"], argument["cause"], argument["message"])
        return Cancelled(argument["name"]) if kind == VALUE_CANCELLED else None

    def _finish(self, recorder: Recorder, returned: object, around: Attendance) -> tuple[Any, list[int] | None, bytes]:
        """The result as the row has it, when everything that was created has been sent."""
        result = recorder.finish(returned)
        if around.failed is not None:
            raise around.failed
        around.flush(hold=True)
        if result.kind is ResultKind.NONE:
            return None, None, b""
        if result.kind is ResultKind.PROMISE:
            return [result.n], None, b""
        self._voice.tell_codes(result.codes)
        embeds = ranges(result.takes)
        refuse_scattered("the result", len(embeds))
        stowed, data = self._stow(around.task.attempt, result.data)
        return stowed, embeds or None, data

    def _failed(self, error: BaseException, stage: Stage, around: Attendance) -> _Outcome:
        """The user sees the traceback among the output; the row has it pickled."""
        cause, failure = failure_of(error, stage, self._import_error)
        # What we refuse to pickle has no frame of the user's that would tell more.
        self._traces.complain(clean(f"{failure['message']}\n" if cause == Cause.UNPICKLABLE else text_of(error)))
        try:
            result, data = self._stow(around.task.attempt, payload.dump_exception(error))
        except StorageFailed:
            result, data = None, b""  # the words must do
        return cause, 0, FLAG_TEMP if around.used_temp else 0, result, None, failure, data

    def _stow(self, attempt: Attempt, data: bytes) -> tuple[Any, bytes]:
        """A payload as a row names it: itself, or a blob."""
        if len(data) <= INLINE_LIMIT:
            return True, data
        return list(patiently(partial(blobs.write_blob, blobs.blob_path(self._tree, *attempt, blobs.RESULT), data))), b""

    def _measure(self, wall: float) -> tuple[float, float, int, int]:
        """User and system seconds, peak memory in bytes, and the flag that says of what that is the peak."""
        before, self._usage = self._usage, resource.getrusage(resource.RUSAGE_SELF)
        usage = self._usage
        user, system = usage.ru_utime - before.ru_utime, usage.ru_stime - before.ru_stime
        memory, rose = usage.ru_maxrss, usage.ru_maxrss > before.ru_maxrss
        if wall > LASTING_SECONDS:  # else there was no time to wait for a subprocess, or too little to matter
            past, self._children = self._children, resource.getrusage(resource.RUSAGE_CHILDREN)
            user += self._children.ru_utime - past.ru_utime
            system += self._children.ru_stime - past.ru_stime
            if self._children.ru_maxrss > past.ru_maxrss:
                rose, memory = True, max(memory if rose else 0, self._children.ru_maxrss)
        return user, system, memory * _KIB, 0 if rose else FLAG_HIGH_WATER

    def _be_a_fork(self) -> None:
        self._forked = True
        if self._around is not None:
            self._around.forked = True

    def _leave_fork(self, cause: str) -> None:
        """User code has forked and let the child return into ours: it must not run the next target."""
        self._traces.flush()
        os._exit(1 if cause else 0)


def _move(descriptor: int) -> int:
    """Out of the way of those that user code may expect to get, or may close."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    os.close(descriptor)
    return moved


def _reseed() -> None:
    """Forked processes would all draw the same numbers."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()

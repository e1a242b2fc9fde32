"""The door to the batch system: a launcher on a thread of its own, since its calls may take as long as they like."""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from ..errors import LauncherError, StorageFailed
from ..launchers.base import BlockState, BlockStatus, Launcher, SubmitBusy, SubmitRefused, WorkerSize
from .effects import CancelBlocks, Find, Submit
from .events import BlockGone, BlocksCancelled, BlockSeen, BlockSubmitted, Event, SubmitFailed

log = logging.getLogger("jobtree.master")

Request = Submit | Find | CancelBlocks

#: Seconds until a name is asked for again that could not be looked up.
FIND_AGAIN = 20.0
#: A launcher that can be polled as often as this (seconds) costs nobody anything.
CHEAP = 1.0
#: From the state that people must hear of to the one that is as it should be.
WORST_FIRST = (BlockState.ERROR, BlockState.HELD, BlockState.PENDING, BlockState.UNKNOWN, BlockState.RUNNING)


class Fleet:
    """Grants what concerns blocks, one request at a time, and tells what became of it, whatever the launcher does.

    ``descriptor`` can be read when there is news. ``poll_seconds`` is the pause between two looks at all blocks; ``hurry``
    shortens it when the end is near, if looking is cheap.
    """

    def __init__(
        self,
        launcher: Launcher,
        size: WorkerSize,
        poll_seconds: float,
        may_act: Callable[[], bool] = lambda: True,
        announce: Callable[[str, WorkerSize], None] = lambda name, size: None,
        started_as: str = "",
    ) -> None:
        self._announce = announce  # tells workers-to-be of a size that is not the pool's
        self._started_as = started_as  # the command line of a worker, for people
        self._may_act = may_act  # whether the tree is still ours
        self._launcher = launcher
        self._size = size
        self._poll_seconds = poll_seconds
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._news: deque[Event] = deque()
        self._blocks: dict[str, str] = {}  # block's id: name of its submission
        self._gone: set[str] = set()
        self._told: dict[str, tuple[str, int, str]] = {}  # by name: what was told last of how it stands
        self._open: dict[str, tuple[float, str]] = {}  # names to be looked up (again): when, and why
        self._look_at = time.monotonic() + poll_seconds
        self.descriptor, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._last_trouble = ""
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="jobtree-fleet", daemon=True)
        self._thread.start()

    def post(self, request: Request) -> None:
        """Ask for something; the answer comes as news."""
        self._requests.put(request)

    def expect(self, blocks: dict[str, str]) -> None:
        """Look after blocks (id: name of the submission) of an earlier master, and look at once how they are."""
        self._blocks.update(blocks)
        if blocks:
            self._look_at = 0.0

    def hurry(self, poll_seconds: float) -> None:
        """Look more often from now on."""
        if self._poll_seconds < CHEAP:
            self._poll_seconds = poll_seconds
            self._look_at = 0.0
            self._requests.put(None)

    def news(self) -> list[Event]:
        """What has happened since the last call."""
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            return []
        news = []
        while self._news:
            news.append(self._news.popleft())
        return news

    def close(self, seconds: float) -> None:
        """Stop; a call that hangs is given ``seconds``, then left alone."""
        self._closed = True
        self._requests.put(None)
        self._thread.join(seconds)
        if not self._thread.is_alive():
            os.close(self.descriptor)
            os.close(self._wake)

    def _serve(self) -> None:
        while not self._closed:
            try:
                request = self._requests.get(timeout=self._patience())
            except queue.Empty:
                request = None
            if request is not None:
                self._grant(request)
            self._find_again()
            if time.monotonic() >= self._look_at:
                self._look()
                self._look_at = time.monotonic() + self._poll_seconds

    def _patience(self) -> float:
        due = min([self._look_at, *(at for at, _ in self._open.values())])
        return max(0.0, due - time.monotonic())

    def _tell(self, event: Event) -> None:
        self._news.append(event)
        try:
            os.write(self._wake, b"!")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups already

    # -- requests -------------------------------------------------------------------------------------------------

    def _grant(self, request: Request) -> None:
        try:
            if not self._may_act():
                return
        except StorageFailed as error:  # the loop meets it, too, and ends
            log.warning("%s", error)
            return
        match request:
            case Submit():
                self._submit(request)
            case Find(name):
                self._find(name, "it was never submitted")
            case CancelBlocks(ids, _):
                self._cancel(ids)

    def _submit(self, request: Submit) -> None:
        name, size = request.name, self._size
        try:
            if request.cpus:
                size = replace(size, cpus=request.cpus, memory_bytes=request.memory, gpus=math.ceil(request.gpus))
                self._announce(name, size)
            ids = self._launcher.submit(name, request.n, size)
        except (SubmitRefused, SubmitBusy) as error:
            log.warning("a submission failed: %s", error)
            self._tell(SubmitFailed(name, str(error), "refused" if isinstance(error, SubmitRefused) else "busy"))
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            log.warning("a submission failed: %s", _words(error))
            # It may have been taken all the same.
            self._find(name, _words(error))
        else:
            self._known(name, ids)

    def _find(self, name: str, reason: str) -> None:
        """Look a name up; until somebody answers, nothing is known and nothing is submitted in its place."""
        self._open.pop(name, None)
        try:
            ids = self._launcher.find(name)
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            trouble = _words(error)
            self._tell(BlockSeen(name, BlockState.UNKNOWN, 0, f"whether it was submitted is not known: {trouble}"))
            self._open[name] = (time.monotonic() + FIND_AGAIN, reason)
            return
        if ids:
            self._known(name, ids)
        else:
            self._tell(SubmitFailed(name, reason))

    def _find_again(self) -> None:
        now = time.monotonic()
        for name, (at, reason) in list(self._open.items()):
            if now >= at:
                self._find(name, reason)

    def _cancel(self, ids: list[str]) -> None:
        trouble = ""
        try:
            self._launcher.cancel(ids)
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            trouble = _words(error)
            log.warning("workers could not be ended: %s", trouble)
        self._tell(BlocksCancelled(list(ids), trouble))

    def _known(self, name: str, ids: list[str]) -> None:
        self._blocks.update(dict.fromkeys(ids, name))
        self._tell(BlockSubmitted(name, ids))

    # -- looking --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._blocks:
            return
        try:
            states = self._launcher.poll()
            ended = {block: status.reason for block, status in states.items() if status.state is BlockState.ENDED}
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            trouble = _words(error)
            if trouble != self._last_trouble:
                log.warning("the state of the workers is not known: %s", trouble)
            self._last_trouble = trouble
            return
        self._last_trouble = ""
        for block, reason in ended.items():
            if block in self._blocks and block not in self._gone:
                self._gone.add(block)
                self._tell(BlockGone(self._blocks[block], block, reason, self._tail(block)))
        self._note(states)

    def _note(self, states: Mapping[str, BlockStatus]) -> None:
        """Tell of submissions that stand otherwise than when they were last told of."""
        by_name: dict[str, dict[BlockState, list[str]]] = {}
        for block, status in states.items():
            if block in self._blocks and block not in self._gone:
                by_name.setdefault(self._blocks[block], {}).setdefault(status.state, []).append(status.reason)
        for name, found in by_name.items():
            state = next(state for state in WORST_FIRST if state in found)
            reason = max(found[state]) if state is not BlockState.RUNNING else ""
            note = (str(state), len(found[state]), reason)
            if self._told.get(name) != note:
                self._told[name] = note
                self._tell(BlockSeen(name, *note))

    def _tail(self, block: str) -> str:
        try:
            words = self._launcher.output_tail(block)
            return f"{words}\nit was started as: {self._started_as}" if self._started_as else words
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            log.warning("the last words of the worker %s can't be read: %s", block, _words(error))
            return ""


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, LauncherError) else f"{type(error).__name__}: {error}"

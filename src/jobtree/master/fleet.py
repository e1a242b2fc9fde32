"""The door to the batch system: a launcher on a thread of its own, since its calls may take as long as they like."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable

from ..errors import LauncherError, StorageFailed
from ..launchers.base import BlockState, Launcher, WorkerSize
from .effects import CancelBlocks, Find, Submit
from .events import BlockGone, BlockSubmitted, Event, SubmitFailed

log = logging.getLogger("jobtree.master")

Request = Submit | Find | CancelBlocks


class Fleet:
    """Grants what concerns blocks, one request at a time, and tells what became of it, whatever the launcher does.

    ``descriptor`` can be read when there is news. ``poll_seconds`` is the pause between two looks at all blocks; ``hurry``
    shortens it when the end is near.
    """

    def __init__(
        self, launcher: Launcher, size: WorkerSize, poll_seconds: float, may_act: Callable[[], bool] = lambda: True
    ) -> None:
        self._may_act = may_act  # whether the tree is still ours
        self._launcher = launcher
        self._size = size
        self._poll_seconds = poll_seconds
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._news: deque[Event] = deque()
        self._blocks: dict[str, str] = {}  # block's id: name of its submission
        self._gone: set[str] = set()
        self.descriptor, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._last_trouble = ""
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="jobtree-fleet", daemon=True)
        self._thread.start()

    def post(self, request: Request) -> None:
        """Ask for something; the answer comes as news."""
        self._requests.put(request)

    def expect(self, blocks: dict[str, str]) -> None:
        """Look after blocks (id: name of the submission) of an earlier master."""
        self._blocks.update(blocks)

    def hurry(self, poll_seconds: float) -> None:
        """Look more often from now on."""
        self._poll_seconds = poll_seconds
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
                request = self._requests.get(timeout=self._poll_seconds)
            except queue.Empty:
                request = None
            if request is not None:
                self._grant(request)
            self._look()

    def _tell(self, event: Event) -> None:
        self._news.append(event)
        try:
            os.write(self._wake, b"!")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups already

    def _grant(self, request: Request) -> None:
        try:
            if not self._may_act():
                return
        except StorageFailed as error:  # the loop meets it, too, and ends
            log.warning("%s", error)
            return
        match request:
            case Submit(name, n):
                self._submit(name, n)
            case Find(name):
                self._attempt(name, lambda: self._launcher.find(name))
            case CancelBlocks(ids, _):
                try:
                    self._launcher.cancel(ids)
                except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
                    log.warning("workers could not be ended: %s", _words(error))

    def _submit(self, name: str, n: int) -> None:
        try:
            ids = self._launcher.submit(name, n, self._size)
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            log.warning("a submission failed: %s", _words(error))
            # It may have been taken all the same.
            self._attempt(name, lambda: self._launcher.find(name), _words(error))
        else:
            self._known(name, ids)

    def _attempt(self, name: str, find: Callable[[], list[str]], reason: str = "it was never submitted") -> None:
        try:
            ids = find()
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            ids, reason = [], f"{reason}; {_words(error)}"
        if ids:
            self._known(name, ids)
        else:
            self._tell(SubmitFailed(name, reason))

    def _known(self, name: str, ids: list[str]) -> None:
        self._blocks.update(dict.fromkeys(ids, name))
        self._tell(BlockSubmitted(name, ids))

    def _look(self) -> None:
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

    def _tail(self, block: str) -> str:
        try:
            return self._launcher.output_tail(block)
        except Exception as error:  # noqa: BLE001  # a launcher may be anybody's, and this thread has to go on
            log.warning("the last words of the worker %s can't be read: %s", block, _words(error))
            return ""


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, LauncherError) else f"{type(error).__name__}: {error}"

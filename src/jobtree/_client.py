"""The user's end of a session: targets go out, futures are settled, by one thread that never waits for the user's code to let go.

The master, its beats and its workers live in other processes, so that user code here may hold the interpreter for as long as it
likes: results wait meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ._futures import Answer, Future, OpenFutures
from ._promise import Promise
from ._target import Target, name_of, requests_of
from .errors import NoMaster, UsageError
from .ids import NOBODY
from .protocol import blobs, payload
from .protocol.caller import Caller
from .protocol.codec import Message
from .protocol.messages import INLINE_LIMIT, Type

#: One message brings at most so many targets, or about so many bytes.
PIECE_TARGETS, PIECE_BYTES = 1_000, 256 * 1024
#: Numbers of targets in one request.
MOST_NAMED = 10_000
WAIT = 3_600.0


class Client:
    """Submits to the master of the tree at ``tree``.

    ``failed`` is told each exception that a future was given, and the one that has ended the line.
    """

    def __init__(self, tree: Path, failed: Callable[[BaseException], None]) -> None:
        self.tree = tree
        self.open = OpenFutures()
        self._failed = failed
        self._caller = Caller(tree)
        self._letters: deque[_Letter] = deque()
        self._drops: deque[int] = deque()
        self._asked: dict[int, Future[Any]] = {}
        self._requests: deque[tuple[str, dict[str, Any], Future[Any]]] = deque()
        self._awake = False
        self._last = 0
        self._known: set[str] = set()  # code that the master has
        self._closing = self._ended = False
        self._broken = ""
        self._gone = threading.Event()
        self._caller.ask("open")
        self._thread = threading.Thread(target=self._loop, name="jobtree-client", daemon=True)
        self._thread.start()

    # -- for users' threads ---------------------------------------------------------------------------------------

    def submit(self, target: Target[Any]) -> Future[Any]:
        """Have a target run; its future. Raises RuntimeError after ``close``, BrokenExecutor when there is no master any more."""
        error: Exception | None = None
        try:
            pickled = payload.dumps(target, Promise)
            if pickled.promises:
                raise UsageError("a target that is submitted can't hold a promise, which only a running target can make")
        except Exception as trouble:  # noqa: BLE001  # pickling runs the user's code; the future tells
            error = trouble
        if error is not None:
            return self._stillborn(error)
        form = [name_of(target), True, requests_of(target).to_wire()]
        with self.open.lock:
            self._refuse_late()
            self._last += 1
            future: Future[Any] = Future(self._last, self._dropped)
            self.open.add(future)
            self._letters.append(_Letter(self._last, form, pickled.data, pickled.codes))
        self._wake()
        return future

    def _stillborn(self, error: Exception) -> Future[Any]:
        with self.open.lock:
            self._refuse_late()
        future: Future[Any] = Future(0, lambda _: None)
        future.set_running_or_notify_cancel()
        future.set_exception(error)
        return future

    def _refuse_late(self) -> None:
        if self._broken:
            raise BrokenExecutor(self._broken)
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def ask(self, verb: str, **about: Any) -> Future[Any]:
        """Ask the master something; the answer to come."""
        future: Future[Any] = Future(0, lambda _: None)
        self._requests.append((verb, about, future))
        self._wake()
        return future

    def drop(self, future: Future[Any]) -> None:
        """End a target though it may run."""
        self._drops.append(future._jobtree_n_)
        self._wake()

    def close(self) -> None:
        """No target will come any more: the session ends with the last future."""
        with self.open.lock:
            self._closing = True
        self._wake()

    def break_(self, reason: str) -> None:
        """Nothing can be done any more: all that is open fails, and so does each ``submit``."""
        with self.open.lock:
            self._broken = self._broken or reason
        for future in self.open.all():
            taken = self.open.take(future._jobtree_n_)
            if taken is not None:
                taken.set_exception(BrokenExecutor(self._broken))
        self._wake()

    def end(self) -> None:
        """The master is gone: hang up."""
        self._ended = True
        self._wake()

    def join(self) -> None:
        """Wait until the line is closed; not from a callback, which runs in the line's own thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _dropped(self, future: Future[Any]) -> None:
        if self.open.cancelled(future):
            self.drop(future)

    def _wake(self) -> None:
        if not self._awake and not self._gone.is_set():
            self._awake = True
            try:
                self._caller.wake()
            except OSError:
                pass  # the line was closed in this moment

    # -- the line's own thread ------------------------------------------------------------------------------------

    def _loop(self) -> None:
        asked_to_close = False
        try:
            while not self._ended:
                for message in self._caller.receive(WAIT):
                    self._take(message)
                self._awake = False
                self._send()
                if self._closing and not asked_to_close and not len(self.open) and not self._letters:
                    self._caller.ask("close")
                    asked_to_close = True
        except NoMaster as error:
            self._failed(error)
        finally:
            self._gone.set()
            self._caller.close()

    def _take(self, message: Message) -> None:
        match message.type:
            case Type.RESULT:
                self._results(message.body[0], message.body[1], message.data)
            case Type.EVENT:
                for n in message.body[1]:
                    self.open.begun(n)
            case Type.REPLY:
                future = self._asked.pop(message.body[0], None)
                if future is not None:
                    future.set_result(message.body[1])
            case _:
                pass  # what later masters may have to say

    def _results(self, results: list[list[Any]], lengths: list[int], data: bytes) -> None:
        parts, place = [], 0
        for length in lengths:
            parts.append(data[place : place + length])
            place += length
        taken = []
        for answer in [Answer(result, parts) for result in results]:
            future = self.open.take(answer.n)
            error = answer.settle(future, self.tree) if future is not None else None
            if error is not None:
                self._failed(error)
            if answer.is_lent:
                taken.append(answer.n)
        if taken:
            self._caller.ask("taken", ns=taken)

    def _send(self) -> None:
        while self._letters:
            some: list[_Letter] = []
            size = 0
            while self._letters and len(some) < PIECE_TARGETS and size < PIECE_BYTES:
                letter = self._letters.popleft()
                some.append(letter)
                size += letter.size
            self._submit(some)
        while self._drops:
            self._caller.ask("drop", ns=[self._drops.popleft() for _ in range(min(MOST_NAMED, len(self._drops)))])
        while self._requests:
            verb, about, future = self._requests.popleft()
            self._asked[self._caller.ask(verb, **about)] = future

    def _submit(self, letters: list[_Letter]) -> None:
        """One message with one piece, whose creator is nobody."""
        codes: dict[str, bytes] = {}
        forms: dict[str, int] = {}
        wires: list[list[Any]] = []
        runs: list[int] = []
        extras: dict[int, list[Any]] = {}
        contents: list[bytes] = []
        for place, letter in enumerate(letters):
            for sha, code in letter.codes.items():
                blobs.write_code(self.tree, sha, code)  # results may name it, too, and are opened here
                if len(code) <= INLINE_LIMIT and sha not in self._known:
                    codes[sha] = code
                self._known.add(sha)
            content = letter.data
            if len(content) > INLINE_LIMIT:
                blob = blobs.write_blob(blobs.blob_path(self.tree, *NOBODY, letter.n), content)
                extras[place], content = [[], [], list(blob)], b""
            contents.append(content)
            key = repr(letter.form)
            if key not in forms:
                forms[key] = len(wires)
                wires.append(letter.form)
            if runs and runs[-2] == forms[key]:
                runs[-1] += 1
            else:
                runs += [forms[key], 1]
        piece = [*NOBODY, letters[0].n, wires, runs, extras, [len(content) for content in contents]]
        named = [[sha, len(code)] for sha, code in codes.items()]
        self._caller.send(Type.SUBMIT, [named, [piece]], b"".join([*codes.values(), *contents]))


class _Letter(NamedTuple):
    """A target on its way."""

    n: int
    form: list[Any]
    data: bytes
    codes: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes that it takes in a message, about."""
        return min(len(self.data), INLINE_LIMIT) + sum(min(len(code), INLINE_LIMIT) for code in self.codes.values()) + 64

"""Runs a whole tree in this process, in order, without journal and workers: for debuggers and tests.

The order is depth first: the children of a target run one after the other, each with all that is below it,
then the follow-on. What runs is taken from a stack and what has ended is settled in a loop, so neither deep
nor long trees meet Python's limit of recursion.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from bdb import BdbQuit
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jobtree import _context
from jobtree._promise import Cancelled, Failure, Promise
from jobtree._recording import Creation, Form, Recorder, Result, ResultKind, cause_of
from jobtree._target import Target, name_of, requests_of
from jobtree.errors import Cause, TargetFailure, TargetsFailed
from jobtree.ids import FOLLOW_ON, NOBODY, Attempt, PromiseKey
from jobtree.protocol import payload
from jobtree.protocol.references import register_script
from jobtree.protocol.tracebacks import words_of
from jobtree.resources import exception_name

R = TypeVar("R")

ROOT = PromiseKey(*NOBODY, 1)


def run_inline(
    root: Target[R],
    *,
    retries: int = 0,
    keep_going: bool = False,
    fail_fast: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> R:
    """Run `root` and all below it, here and now, and return its result.

    `retries` is for targets that do not say; `keep_going` allows the children of the root and of its
    follow-ons to fail; `fail_fast`
    stops at the first failure; `defaults` are requests to be read from targets that do not say. Raises
    TargetsFailed, with the first target's own exception as its cause; KeyboardInterrupt and a debugger's
    quitting pass through.
    """
    register_script()
    pickled = payload.dumps(root, Promise)
    creation = Creation(1, Form(name_of(root), None, requests_of(root)), pickled.data, (), (), pickled.codes)
    run = _Run(retries, keep_going, fail_fast, defaults or {"cpus": 1.0, "memory": 2 << 30})
    with _context.running(None):
        try:
            result: R = run.run(creation)
        finally:
            run.clean_up()
    return result


class _Chain:
    """A founder and its follow-ons: where they stand, and what waits for their end."""

    __slots__ = ("creator", "failed", "failure", "key", "name", "parent", "takers", "temp", "tolerant")

    def __init__(self, key: PromiseKey, name: str, parent: _Node | None, tolerant: bool) -> None:
        self.key = key
        self.name = name
        self.parent = parent
        self.tolerant = tolerant
        self.failed = False
        self.failure = Failure(name, "blocked", "a target that it waits for failed")
        self.takers: list[_Node] = []
        self.temp: Path | None = None


class _Node:
    """A target that has been added: what runs it, and after it has run, what it waits for."""

    __slots__ = ("blocked", "chain", "creation", "follow_on", "key", "open_children", "waits_for")

    def __init__(self, key: PromiseKey, creation: Creation, chain: _Chain) -> None:
        self.key = key
        self.creation = creation
        self.chain = chain
        self.follow_on: _Node | None = None
        self.open_children = 0
        self.waits_for = 0
        self.blocked = False


class _Run:
    """The state of one run."""

    def __init__(self, retries: int, keep_going: bool, fail_fast: bool, defaults: Mapping[str, Any]) -> None:
        self._retries = retries
        self._keep_going = keep_going
        self._fail_fast = fail_fast
        self._defaults = defaults
        self._attempts = 0
        self._failures: list[TargetFailure] = []
        self._results: dict[PromiseKey, tuple[Attempt, Result]] = {}
        self._replaced: dict[PromiseKey, object] = {}
        self._codes: dict[str, bytes] = {}
        self._ready: list[_Node] = []
        self._temps: set[Path] = set()

    def run(self, root: Creation) -> Any:
        self._codes.update(root.codes)
        chain = _Chain(ROOT, root.form.name, None, tolerant=False)
        self._ready.append(_Node(ROOT, root, chain))
        while self._ready and not (self._fail_fast and self._failures):
            self._run_node(self._ready.pop())
        if self._failures and (self._fail_fast or chain.failed):
            raise TargetsFailed(self._failures)
        return self._value(ROOT)

    def clean_up(self) -> None:
        for temp in self._temps:
            shutil.rmtree(temp, ignore_errors=True)

    def _run_node(self, node: _Node) -> None:
        if node.blocked:
            self._settle(node, failed=True)
            return
        requests = node.creation.form.requests
        most = 1 + (self._retries if requests.retries is None else requests.retries)
        for ordinal in range(1, most + 1):
            attempt = _Attempt(self, node, ordinal)
            error = attempt.perform()
            if error is None:
                self._commit(node, attempt)
                return
            cause, status = cause_of(error, attempt.loading)
            names = [exception_name(kind) for kind in type(error).__mro__[:-1]]
            if ordinal == most or not requests.may_retry(cause, status, names):
                self._fail(node, ordinal, cause, error)
                return

    def _commit(self, node: _Node, attempt: _Attempt) -> None:
        """What the attempt added becomes real."""
        assert attempt.result is not None
        self._results[node.key] = (attempt.identity, attempt.result)
        self._codes.update(attempt.result.codes)
        children: dict[int, _Node] = {}
        for creation in attempt.creations:
            self._codes.update(creation.codes)
            key = PromiseKey(*attempt.identity, creation.n)
            if creation.n == FOLLOW_ON:
                node.follow_on = _Node(key, creation, node.chain)
            elif key in attempt.cancelled:
                self._replaced[key] = Cancelled(creation.form.name)
            else:
                chain = _Chain(key, creation.form.name, node, self._is_tolerant(node, creation.form))
                children[creation.n] = _Node(key, creation, chain)
        node.open_children = len(children)
        for child in children.values():
            for n in {*child.creation.takes, *child.creation.after} & children.keys():
                children[n].chain.takers.append(child)
                child.waits_for += 1
        self._ready.extend(child for child in reversed(children.values()) if child.waits_for == 0)
        if not children:
            self._settle(node, failed=False)

    def _is_tolerant(self, creator: _Node, form: Form) -> bool:
        if form.tolerant is None:
            return self._keep_going and creator.chain.key == ROOT
        return form.tolerant

    def _fail(self, node: _Node, attempts: int, cause: Cause, error: BaseException) -> None:
        name = node.creation.form.name
        message = words_of(error)
        host = os.uname().nodename
        self._failures.append(TargetFailure(name, self._attempts, attempts, cause, message, host, "", error))
        if not node.chain.failed:
            node.chain.failure = Failure(name, cause.value, message)
        self._settle(node, failed=True)

    def _settle(self, node: _Node, failed: bool) -> None:
        """Nothing more happens below `node`: go on with its follow-on, or end its chain, and so on up."""
        at: _Node | None = node
        while at is not None:
            chain = at.chain
            chain.failed |= failed
            if at.follow_on is not None and not chain.failed:
                self._ready.append(at.follow_on)
                return
            self._end(chain)
            failed = chain.failed and not chain.tolerant
            at = chain.parent
            if at is None:
                return
            if failed and not at.chain.failed:
                at.chain.failed = True
                at.chain.failure = chain.failure
            at.open_children -= 1
            if at.open_children > 0:
                return
            failed = at.chain.failed

    def _end(self, chain: _Chain) -> None:
        """Let go what waits for this chain; what takes the result of one that failed never runs."""
        if chain.failed and chain.tolerant:
            self._replaced[chain.key] = chain.failure
        for taker in chain.takers:
            taker.waits_for -= 1
            taker.blocked |= chain.failed and not chain.tolerant
        self._ready.extend(taker for taker in reversed(chain.takers) if taker.waits_for == 0)
        chain.takers.clear()
        if chain.temp is not None:
            self.remove(chain.temp)

    def make_temp(self, prefix: str) -> Path:
        made = Path(tempfile.mkdtemp(prefix=f"jobtree-{prefix}-"))
        self._temps.add(made)
        return made

    def remove(self, temp: Path) -> None:
        shutil.rmtree(temp, ignore_errors=True)
        self._temps.discard(temp)

    def begin(self) -> Attempt:
        self._attempts += 1
        return Attempt(1, self._attempts)

    def load(self, node: _Node) -> Target[Any]:
        epoch, number, _ = node.key
        values = self._values(PromiseKey(epoch, number, n) for n in node.creation.takes)
        target: Target[Any] = payload.loads(node.creation.data, values, self._codes.__getitem__)
        return target

    def granted(self, form: Form) -> Mapping[str, Any]:
        return {**self._defaults, **form.requests.to_wire()}

    def _value(self, key: PromiseKey) -> Any:
        values = self._values([key])
        result = values.pop(key)
        if isinstance(result, payload.Stored):
            return payload.loads(result.read(), values, self._codes.__getitem__)
        return result

    def _values(self, wanted: Iterable[PromiseKey]) -> dict[PromiseKey, object]:
        """What stands in the places of these promises, and of those inside their values."""
        values: dict[PromiseKey, object] = {}
        waiting = list(wanted)
        while waiting:
            key = waiting.pop()
            if key not in values:
                values[key], inside = self._kept(key)
                waiting.extend(inside)
        return values

    def _kept(self, key: PromiseKey) -> tuple[object, list[PromiseKey]]:
        """The value of a promise, and the promises in it."""
        while key not in self._replaced:
            (epoch, number), result = self._results[key]
            if result.kind is ResultKind.NONE:
                return None, []
            if result.kind is ResultKind.VALUE:
                return payload.Stored(partial(bytes, result.data)), [PromiseKey(epoch, number, n) for n in result.takes]
            assert result.n is not None
            key = PromiseKey(epoch, number, result.n)
        return self._replaced[key], []


class _Attempt:
    """One execution of a target, and what its recorder hands out."""

    def __init__(self, run: _Run, node: _Node, ordinal: int) -> None:
        self.identity = run.begin()
        self.granted = run.granted(node.creation.form)
        self.creations: list[Creation] = []
        self.cancelled: set[PromiseKey] = set()
        self.result: Result | None = None
        self.loading = True
        self._run = run
        self._node = node
        self._ordinal = ordinal
        self._begun = time.monotonic()
        self._local_temp: Path | None = None
        self._made_global_temp = False

    def perform(self) -> BaseException | None:
        """Run the target; the exception that ended it, if one did."""
        directory = os.getcwd()
        try:
            target = self._run.load(self._node)
            self.loading = False
            recorder = Recorder(self.identity, target, self._ordinal, self)
            with _context.running(recorder):
                self.result = recorder.finish(target.run())
            return None
        except (KeyboardInterrupt, BdbQuit):
            raise
        except BaseException as error:  # noqa: BLE001  # SystemExit too is a failure of the target
            self._forget_global_temp()
            return error
        finally:
            os.chdir(directory)
            if self._local_temp is not None:
                self._run.remove(self._local_temp)

    def create(self, creation: Creation) -> None:
        """Keep it until the attempt has succeeded."""
        self.creations.append(creation)

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        """There is no master whose log could be written to."""
        print(f"{level} {self._node.creation.form.name}: {text}", file=sys.stderr)

    def local_temp_dir(self) -> Path:
        """Made on first use."""
        if self._local_temp is None:
            self._local_temp = self._run.make_temp("local")
        return self._local_temp

    def global_temp_dir(self) -> Path:
        """Made on first use in the chain."""
        chain = self._node.chain
        if chain.temp is None:
            chain.temp = self._run.make_temp("global")
            self._made_global_temp = True
        return chain.temp

    def remaining_time(self) -> float | None:
        """By the time limit, which nobody enforces here."""
        limit = self._node.creation.form.requests.time_limit
        return None if limit is None else max(0.0, limit - (time.monotonic() - self._begun))

    def cancel(self, key: PromiseKey) -> None:
        """No child has begun, for it waits for this attempt's end. (Siblings that can be named have run already, one by one.)"""
        self.cancelled.add(key)

    def _forget_global_temp(self) -> None:
        """The next attempt gets a fresh one; what the chain had before stays as it is."""
        chain = self._node.chain
        if self._made_global_temp and chain.temp is not None:
            self._run.remove(chain.temp)
            chain.temp = None

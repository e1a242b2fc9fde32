"""What a running attempt adds and returns, turned into bytes; whoever runs targets uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from jobtree._function import FunctionTarget
from jobtree._promise import Handle, Promise
from jobtree._target import REQUESTS, Target, name_of, requests_of
from jobtree.errors import Cause, CommandFailed, Unpicklable, UsageError
from jobtree.ids import FOLLOW_ON, Attempt, PromiseKey
from jobtree.protocol import payload
from jobtree.resources import Requests

#: So many targets made and not added are remembered, to warn of them.
MOST_NOTES = 1000


class Form:
    """What is the same for many targets; equal ones of an attempt are one object."""

    __slots__ = ("name", "requests", "tolerant")

    def __init__(self, name: str, tolerant: bool | None, requests: Requests) -> None:
        self.name = name
        self.tolerant = tolerant
        self.requests = requests

    def to_wire(self) -> list[object]:
        """As messages and journal have it."""
        return [self.name, self.tolerant, self.requests.to_wire()]


@dataclass(slots=True)
class Creation:
    """A target that the attempt added: n counts up from 1 without gaps, 0 is the follow-on.

    `takes` and `after` are sorted n of this attempt, of promises in the payload and of those only waited for.
    """

    n: int
    form: Form
    data: bytes
    takes: tuple[int, ...]
    after: tuple[int, ...]
    codes: dict[str, bytes]


class ResultKind(Enum):
    """What a target returned."""

    NONE = "none"
    VALUE = "value"
    PROMISE = "promise"


@dataclass(slots=True)
class Result:
    """A value is pickled in `data`, with promises `takes` (sorted n); a promise is that of the target `n`."""

    kind: ResultKind
    data: bytes = b""
    takes: tuple[int, ...] = ()
    n: int | None = None
    codes: dict[str, bytes] = field(default_factory=dict)


class Surroundings(Protocol):
    """What differs between those who run targets."""

    @property
    def granted(self) -> Mapping[str, Any]:
        """As in Context."""

    def create(self, creation: Creation) -> None:
        """Take a new target; called in the order of n, by one thread at a time; may block."""

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        """As in Context."""

    def local_temp_dir(self) -> Path:
        """As in Context."""

    def global_temp_dir(self) -> Path:
        """As in Context."""

    def remaining_time(self) -> float | None:
        """As in Context."""

    def cancel(self, key: PromiseKey) -> None:
        """Cancel a child of this attempt, or a sibling, when the attempt has succeeded."""


class Recorder:
    """The context of one attempt: numbers and serialises what is added, and hands it to the surroundings."""

    def __init__(self, identity: Attempt, target: Target[Any], attempt: int, surroundings: Surroundings) -> None:
        self.identity = identity
        self.target = target
        self.attempt = attempt
        self.children = 0
        self.has_follow_on = False
        self.named = False  # handles of its children may be anywhere
        self._surroundings = surroundings
        self._forms: dict[object, Form] = {}
        self._notes: dict[int, tuple[Target[Any], str, int]] = {}
        self._lock = Lock()
        self.granted = surroundings.granted
        self.local_temp_dir = surroundings.local_temp_dir
        self.global_temp_dir = surroundings.global_temp_dir
        self.remaining_time = surroundings.remaining_time

    def add_child(
        self, target: Target[Any], *, allow_failure: bool | None = None, after: Iterable[Promise[Any]] = ()
    ) -> Promise[Any]:
        """Serialise and number a child; raises Unpicklable or UsageError."""
        creation = self._serialise(target, allow_failure, "add_child")
        if after:
            creation.after = self._waited_for(after)
        refuse_cycle(creation.form.name, creation.takes, creation.after)
        with self._lock:
            self.children += 1
            creation.n = self.children
            self._surroundings.create(creation)
        return Promise(PromiseKey(*self.identity, creation.n))

    def set_follow_on(self, target: Target[Any]) -> Promise[Any]:
        """Serialise the follow-on; raises UsageError if there is one already, or Unpicklable."""
        if self.has_follow_on:
            raise UsageError(f"{name_of(self.target)} has a follow-on already; it can have one")
        creation = self._serialise(target, None, "set_follow_on")
        if FOLLOW_ON in creation.takes:
            raise UsageError(f"{creation.form.name} takes its own result")
        with self._lock:
            self.has_follow_on = True
            self._surroundings.create(creation)
        return Promise(PromiseKey(*self.identity, FOLLOW_ON))

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        """Pass a line on."""
        self._surroundings.log(text, level, live=live)

    def cancel(self, promise: Promise[Any] | Handle) -> None:
        """Cancel a child of this attempt, or what a handle names; raises UsageError for anything else."""
        if isinstance(promise, Handle):
            key = promise.key
        else:
            key = _key_of(promise, "cancel")
            self._own([key], "cancel")
        if key[2] == FOLLOW_ON:
            raise UsageError("cancel: the follow-on cannot be cancelled; do not set it")
        self._surroundings.cancel(PromiseKey(*key))

    def hands_out_handles(self) -> None:
        """A promise's handle was asked for."""
        self.named = True

    def finish(self, result: object) -> Result:
        """What `run()` returned, and a warning for each target that was made and went nowhere."""
        if isinstance(result, Target):
            name = name_of(result)
            raise UsageError(f"run() returned the target {name}; write `return target.add_child(...)`")
        for made, filename, line in self._notes.values():
            words = f"{name_of(made)} was made and never added, so it will not run"
            self.log(f"{filename}:{line}: {words}", "WARNING")
        self._notes.clear()
        if result is None:
            return Result(ResultKind.NONE)
        if isinstance(result, Promise):
            return Result(ResultKind.PROMISE, n=self._own([result._jobtree_key_], "the result")[0])
        pickled = payload.dumps(result, Promise)
        return Result(ResultKind.VALUE, pickled.data, self._own(pickled.promises, "the result"), None, pickled.codes)

    def made(self, target: Target[Any], filename: str, line: int) -> None:
        """Note that a target was made, until it is added or becomes part of another one."""
        if len(self._notes) < MOST_NOTES:
            self._notes[id(target)] = (target, filename, line)

    def unmade(self, target: Target[Any]) -> tuple[str, int] | None:
        """Take the note back, and tell it."""
        note = self._notes.pop(id(target), None)
        return None if note is None else note[1:]

    def _serialise(self, target: Target[Any], tolerant: bool | None, what: str) -> Creation:
        if not isinstance(target, Target):
            raise UsageError(f"{what}: {words_for_no_target(target)}")
        pickled = payload.dumps(target, Promise)
        self._notes.pop(id(target), None)
        form = self._form(target, tolerant)
        takes = self._own(pickled.promises, form.name) if pickled.promises else ()
        return Creation(FOLLOW_ON, form, pickled.data, takes, (), pickled.codes)

    def _form(self, target: Target[Any], tolerant: bool | None) -> Form:
        requests = requests_of(target)
        name = requests.name or target._jobtree_default_name_()
        # A form keeps its requests alive, so an identity in a key stays that of the same object.
        shared = REQUESTS not in target.__dict__
        key = (id(requests) if shared else requests, name, tolerant)
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = Form(name, tolerant, requests)
        return form

    def _waited_for(self, promises: Iterable[Promise[Any]]) -> tuple[int, ...]:
        return self._own([_key_of(promise, "after") for promise in promises], "after")

    def _own(self, promises: Iterable[PromiseKey], where: str) -> tuple[int, ...]:
        """The n of promises that this attempt made; those of others cannot be kept for it."""
        epoch, number = self.identity
        own = set()
        for key in promises:
            if key[0] != epoch or key[1] != number:
                raise UsageError(
                    f"{where} holds a promise that another target's run() made; "
                    "pass its value on: take the promise in a target of the run() that made it"
                )
            own.add(key[2])
        return tuple(sorted(own))


def refuse_cycle(name: str, takes: Iterable[int], after: Iterable[int]) -> None:
    """Raise UsageError for a child that waits for the follow-on, which in its turn waits for all children."""
    if FOLLOW_ON in takes or FOLLOW_ON in after:
        raise UsageError(
            f"{name} waits for the follow-on's result, and the follow-on waits for all children: {name} -> follow-on -> {name}"
        )


def cause_of(error: BaseException, loading: bool = False) -> tuple[Cause, int | None]:
    """The cause of death of an attempt that this exception ended, and the exit status of a failed program.

    `loading`: it was raised while the target was unpickled.
    """
    if isinstance(error, CommandFailed):
        return error.cause, error.status
    if loading:
        return (Cause.IMPORT if payload.is_import_failure(error) else Cause.UNPICKLABLE), None
    if isinstance(error, Unpicklable):
        return Cause.UNPICKLABLE, None
    return (Cause.MEMORY if isinstance(error, MemoryError) else Cause.EXCEPTION), None


def ranges(numbers: Iterable[int]) -> list[int]:
    """Sorted numbers as `[first, count, first, count, ...]`."""
    found: list[int] = []
    for number in numbers:
        if found and found[-2] + found[-1] == number:
            found[-1] += 1
        else:
            found += (number, 1)
    return found


def _key_of(promise: object, what: str) -> PromiseKey:
    if not isinstance(promise, Promise):
        raise UsageError(f"{what}: {type(promise).__name__} is not a promise as add_child returns it")
    return promise._jobtree_key_


def words_for_no_target(thing: object) -> str:
    """What to tell somebody who has passed something else where a target belongs."""
    if isinstance(thing, FunctionTarget):
        return f"{thing.__qualname__} is to be called: {thing.__name__}(...)"
    if isinstance(thing, type) and issubclass(thing, Target):
        return f"{thing.__qualname__} is a class; make a target of it: {thing.__name__}(...)"
    if callable(thing):
        return f"{thing!r} is not a target; jobtree.call makes one of it"
    return f"{type(thing).__qualname__} is not a target"

"""The unit of work: what users subclass, and what speaks for it while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any, ClassVar, Generic, SupportsIndex, TypeVar

from jobtree import _context
from jobtree._promise import Handle, Promise
from jobtree.errors import UsageError
from jobtree.resources import NO_REQUESTS, Requests

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType
    from typing import Self

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

#: Where an instance keeps the requests that were given for it alone.
REQUESTS = "_jobtree_requests_"


class _Attribute:
    """A read-only attribute that a subclass may hide by one of its own, by assignment or as dataclass field.

    Not a property, because these cannot be assigned to; and not found on the class, because a dataclass
    would take what it finds there for the field's default.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Target[Any] | None, owner: type) -> Any:
        if instance is None:
            raise AttributeError(f"{owner.__qualname__}.{self.name} is known of instances only")
        return self.read(instance)

    def read(self, target: Target[Any]) -> Any:
        raise NotImplementedError


class _Request(_Attribute):
    def read(self, target: Target[Any]) -> Any:
        context = _context.current()
        if context is not None and context.target is target and self.name in context.granted:
            return context.granted[self.name]
        return getattr(requests_of(target), self.name)


class _Name(_Attribute):
    def read(self, target: Target[Any]) -> str:
        return name_of(target)


class _AttemptNumber(_Attribute):
    def read(self, target: Target[Any]) -> int:
        return _running(target, self.name).attempt


class _Signature:
    """What inspect shows for the class: that of `__init__`, though there is a `__new__`."""

    def __get__(self, instance: object, owner: type) -> Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        of_init = signature(owner.__init__)  # type: ignore[misc]
        return of_init.replace(parameters=list(of_init.parameters.values())[1:])


class Target(Generic[R_co]):
    """The unit of work. Subclass it and write `run()`; that may add children and one follow-on.

    Requests are keywords of the class (`class Sort(Target, memory="2G")`, inherited by its subclasses) or
    of `__init__`, which may be left out: cpus (may be a fraction), memory and disk (bytes, or "100M",
    "2G"), gpus, expected_time and time_limit (seconds, or "90s", "10m", "2h"), resources (a dict of the
    site's own), retries, retry_on, priority, pool, isolate, name; cpu, gpu and time are aliases. An unknown
    or senseless one raises UsageError. What is asked for can be read back under the same names; while the
    target runs these are what it was granted.
    """

    _jobtree_class_requests_: ClassVar[Requests] = NO_REQUESTS
    __signature__ = _Signature()

    if TYPE_CHECKING:
        # Any, because a subclass may have attributes of these names, of any type.
        name: Any
        cpus: Any
        memory: Any
        gpus: Any
        disk: Any
        expected_time: Any
        time_limit: Any
        resources: Any
        retries: Any
        retry_on: Any
        priority: Any
        pool: Any
        isolate: Any

        attempt: Any
    else:
        name = _Name()
        cpus = _Request()
        memory = _Request()
        gpus = _Request()
        disk = _Request()
        expected_time = _Request()
        time_limit = _Request()
        resources = _Request()
        retries = _Request()
        retry_on = _Request()
        priority = _Request()
        pool = _Request()
        isolate = _Request()
        attempt = _AttemptNumber()

    def __init_subclass__(cls, **requests: Any) -> None:
        # Other bases may have keywords of their own, but no class keyword is meant for both.
        super().__init_subclass__()
        inherited = cls._jobtree_class_requests_
        own = Requests.of(**requests)
        if inherited.name is not None and own.name is None:
            inherited = Requests(**{**_fields(inherited), "name": None})
        cls._jobtree_class_requests_ = own.over(inherited)

    def __new__(cls, *_: Any, **__: Any) -> Self:
        made = super().__new__(cls)
        context = _context.current()
        if context is not None:
            caller: FrameType | None = sys._getframe(1)
            while caller is not None and caller.f_globals.get("__name__", "").startswith("jobtree."):
                caller = caller.f_back
            if caller is not None:
                context.made(made, caller.f_code.co_filename, caller.f_lineno)
        return made

    def __init__(self, **requests: Any) -> None:
        """Ask for other things than the class does; see the class for the keywords."""
        if requests:
            given = Requests.of(**requests)
            if given != NO_REQUESTS:
                object.__setattr__(self, REQUESTS, given)

    def run(self) -> R_co | Promise[R_co]:
        """The work; to be written. What it returns is the target's result; a promise passes a result on.

        Every exception that leaves it is a failure, SystemExit too; then nothing that it added exists.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no run()")

    def add_child(
        self, target: Target[R], *, allow_failure: bool | None = None, after: Iterable[Promise[Any]] = ()
    ) -> Promise[R]:
        """Add a target that starts when this one has ended, and return the promise of its result.

        It is serialised now: what is changed on it later is not seen. With `allow_failure` its failure does
        not fail this target's chain, and the promise becomes a falsy `Failure`. It starts only when the
        chains of the targets promised in `after` have ended, as it does for promises that it holds. Raises
        Unpicklable, or UsageError where this target is not running.
        """
        promise: Promise[R] = _running(self, "add_child").add_child(target, allow_failure=allow_failure, after=after)
        return promise

    def add_children(
        self,
        targets: Iterable[Target[R]],
        *,
        allow_failure: bool | None = None,
        after: Iterable[Promise[Any]] = (),
    ) -> list[Promise[R]]:
        """Add every target of an iterable, each one as it comes; a million of them never wait in memory."""
        add, earlier = _running(self, "add_children").add_child, tuple(after)
        return [add(target, allow_failure=allow_failure, after=earlier) for target in targets]

    def set_follow_on(self, target: Target[R]) -> Promise[R]:
        """Set the one target that starts when all children of this one have ended, and all below them.

        Serialised now. Raises UsageError if there is one already.
        """
        promise: Promise[R] = _running(self, "set_follow_on").set_follow_on(target)
        return promise

    def log(self, text: str, level: str = "INFO") -> None:
        """Send a line to the master's log; it is kept whether or not the attempt succeeds."""
        _running(self, "log").log(str(text), level)

    def remaining_time(self) -> float | None:
        """Seconds until this attempt is ended by its time limit or its worker's; None without a limit."""
        return _running(self, "remaining_time").remaining_time()

    def cancel(self, promise: Promise[Any] | Handle) -> None:
        """Cancel a child, or the sibling that a `promise.handle` names, when this attempt succeeds.

        What runs of it is ended; it and all below it count as ended, and its promise becomes a falsy `Cancelled`. One that
        has ended already stays as it is. Raises UsageError for the follow-on, or somebody else's promise.
        """
        _running(self, "cancel").cancel(promise)

    @property
    def local_temp_dir(self) -> Path:
        """A directory on this node: made empty when first asked for, gone when this attempt ends."""
        return _running(self, "local_temp_dir").local_temp_dir()

    @property
    def global_temp_dir(self) -> Path:
        """A directory that all nodes see, one for a chain (a target and its follow-ons).

        It is made empty when one of the chain first asks for it, is the same for all that follow, over
        restarts too, and is there until the chain has ended; children may use paths in it.
        """
        return _running(self, "global_temp_dir").global_temp_dir()

    def needs(self, **requests: Any) -> Self:
        """A copy with other requests; those not given stay as they are. Keywords as for the class."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        for name in _slots_of(type(self)):
            if hasattr(self, name):
                object.__setattr__(made, name, getattr(self, name))
        own = getattr(self, REQUESTS, NO_REQUESTS)
        object.__setattr__(made, REQUESTS, Requests.of(**requests).over(own))
        context = _context.current()
        if context is not None and (where := context.unmade(self)) is not None:
            context.made(made, *where)
        return made

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        context = _context.current()
        if context is not None:
            context.unmade(self)  # it goes somewhere: added itself, or inside another target
        return super().__reduce_ex__(protocol)

    def _jobtree_base_requests_(self) -> Requests:
        return self._jobtree_class_requests_

    def _jobtree_default_name_(self) -> str:
        return type(self).__qualname__


def requests_of(target: Target[Any]) -> Requests:
    """What a target asks for, by itself and by its class."""
    own: Requests | None = target.__dict__.get(REQUESTS)
    base = target._jobtree_base_requests_()
    return base if own is None else own.over(base)


def name_of(target: Target[Any]) -> str:
    """The name that the views show: the one given, or that of the class or function."""
    given = requests_of(target).name
    return given if given is not None else target._jobtree_default_name_()


def current_target() -> Target[Any]:
    """The target that is running here; raises UsageError where none is."""
    context = _context.current()
    if context is None:
        raise UsageError("no target is running here")
    target: Target[Any] = context.target
    return target


def _running(target: Target[Any], what: str) -> _context.Context:
    context = _context.current()
    if context is None or context.target is not target:
        kind = type(target).__qualname__
        instead = "" if context is None else "; the running one is jobtree.current_target()"
        raise UsageError(f"{what} is for a target while it runs, and this {kind} is not running{instead}")
    return context


def _fields(requests: Requests) -> dict[str, Any]:
    return {name: getattr(requests, name) for name in Requests.__slots__}


def _slots_of(kind: type) -> Iterable[str]:
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots

"""The unit of work of old jobTree scripts: what they subclass, and functions wrapped as it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobtree import _context
from jobtree.protocol.references import ALIAS

#: What stands for "not said" in times, memory and cpus; it was `sys.maxint`.
UNSPECIFIED = sys.maxsize


class Target:
    """The unit of work. Subclass it, call its constructor, and write `run()`; that may add children and one follow-on.

    `memory` is in bytes, `cpu` may be a fraction, `time` (seconds) is kept and has no effect; `sys.maxsize` stands for not said.
    Children and follow-on are serialised when `run()` has returned. Raises RuntimeError for a class of `__main__`: let the script
    import itself (`from script import *` below `if __name__ == "__main__":`).
    """

    def __init__(self, time: float = UNSPECIFIED, memory: float = UNSPECIFIED, cpu: float = UNSPECIFIED) -> None:
        module = type(self).__module__
        if module in ("__main__", ALIAS):
            raise RuntimeError(
                f"the target class {type(self).__name__} is defined in __main__, where workers do not find it: "
                'import it from its module, for example by `from script import *` below `if __name__ == "__main__":`'
            )
        self.__followOn: Target | None = None
        self.__children: list[Any] = []
        self.__childCommands: list[tuple[str, float]] = []
        self.__time = time
        self.__memory = memory
        self.__cpu = cpu
        self.globalTempDir: str | None = None
        self.importStrings = {f"{module}.{type(self).__name__}"}
        self.loggingMessages: list[str] = []

    def run(self) -> Any:
        """The work; to be written. What it returns is ignored; whatever it raises is a failure, SystemExit too."""

    def setFollowOnTarget(self, followOn: Target) -> None:
        """Set the one target that runs when all children have ended, and all below them; AssertionError if there is one."""
        assert self.__followOn is None, f"{type(self).__name__} has a follow-on already; it can have one"
        self.__followOn = followOn

    def setFollowOnFn(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        time: float = UNSPECIFIED,
        memory: float = UNSPECIFIED,
        cpu: float = UNSPECIFIED,
    ) -> None:
        """Set a follow-on that calls `fn(*args, **kwargs)`."""
        self.setFollowOnTarget(FunctionWrappingTarget(fn, args, kwargs, time, memory, cpu))

    def setFollowOnTargetFn(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        time: float = UNSPECIFIED,
        memory: float = UNSPECIFIED,
        cpu: float = UNSPECIFIED,
    ) -> None:
        """Set a follow-on that calls `fn(target, *args, **kwargs)`."""
        self.setFollowOnTarget(TargetFunctionWrappingTarget(fn, args, kwargs, time, memory, cpu))

    def addChildTarget(self, childTarget: Any) -> None:
        """Add a target that starts when this one has ended; one of `jobtree.Target` may be given too."""
        self.__children.append(childTarget)

    def addChildFn(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        time: float = UNSPECIFIED,
        memory: float = UNSPECIFIED,
        cpu: float = UNSPECIFIED,
    ) -> None:
        """Add a child that calls `fn(*args, **kwargs)`."""
        self.addChildTarget(FunctionWrappingTarget(fn, args, kwargs, time, memory, cpu))

    def addChildTargetFn(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        time: float = UNSPECIFIED,
        memory: float = UNSPECIFIED,
        cpu: float = UNSPECIFIED,
    ) -> None:
        """Add a child that calls `fn(target, *args, **kwargs)`."""
        self.addChildTarget(TargetFunctionWrappingTarget(fn, args, kwargs, time, memory, cpu))

    def addChildCommand(self, childCommand: str, runTime: float = UNSPECIFIED) -> None:
        """Add a shell command as a child, behind the children that are targets; a status other than 0 is a failure."""
        self.__childCommands.append((str(childCommand), float(runTime)))

    @staticmethod
    def makeTargetFn(
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        time: float = UNSPECIFIED,
        memory: float = UNSPECIFIED,
        cpu: float = UNSPECIFIED,
    ) -> Target:
        """A target that calls `fn(target, *args, **kwargs)`; for the root."""
        return TargetFunctionWrappingTarget(fn, args, kwargs, time, memory, cpu)

    makeTargetFnTarget = makeTargetFn  # its name for a day, and in the README

    def getGlobalTempDir(self) -> str:
        """A directory that all nodes see, the same for all members of a chain from the first that asks."""
        self.globalTempDir = str(self.__context("getGlobalTempDir").global_temp_dir())
        return self.globalTempDir

    def getLocalTempDir(self) -> str:
        """A directory on this node, empty at first, gone when the target has ended."""
        return str(self.__context("getLocalTempDir").local_temp_dir())

    def logToMaster(self, string: object) -> None:
        """Send a message to the master's log, when this target has ended well."""
        self.loggingMessages.append(str(string))

    def getRunTime(self) -> float:
        """The time given to the constructor, `sys.maxsize` if none was."""
        return self.__time

    def getMemory(self) -> float:
        """The bytes given to the constructor, `sys.maxsize` if none were."""
        return self.__memory

    def getCpu(self) -> float:
        """The cpus given to the constructor, `sys.maxsize` if none were."""
        return self.__cpu

    def getFollowOn(self) -> Target | None:
        """The follow-on, or None."""
        return self.__followOn

    def getChildren(self) -> list[Any]:
        """A copy of the list of children that are targets."""
        return self.__children[:]

    def getChildCommands(self) -> list[tuple[str, float]]:
        """A copy of the list of children that are commands, each with its run time."""
        return self.__childCommands[:]

    def getMasterLoggingMessages(self) -> list[str]:
        """A copy of the list of messages."""
        return self.loggingMessages[:]

    def isGlobalTempDirSet(self) -> bool:
        """Whether this target has asked for its global temp dir."""
        return self.globalTempDir is not None

    def setGlobalTempDir(self, globalTempDir: str) -> None:
        """Kept for scripts that call it; a chain's directory is found without."""
        self.globalTempDir = globalTempDir

    def __context(self, what: str) -> _context.Context:
        context = _context.current()
        if context is None or getattr(context.target, "old", None) is not self:
            raise RuntimeError(f"{what} is for a target while it runs, and this {type(self).__name__} is not running")
        return context


class FunctionWrappingTarget(Target):
    """A target that calls a function of a module."""

    def __init__(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        time: float = UNSPECIFIED,
        memory: float = UNSPECIFIED,
        cpu: float = UNSPECIFIED,
    ) -> None:
        Target.__init__(self, time=time, memory=memory, cpu=cpu)
        self.fnModule = str(fn.__module__)
        self.fnName = str(fn.__name__)
        self.args = args
        self.kwargs = dict(kwargs or {})
        self._function = fn

    def getFunction(self) -> Callable[..., Any]:
        """The function."""
        return self._function

    def run(self) -> None:
        """Call it."""
        self._function(*self.args, **self.kwargs)


class TargetFunctionWrappingTarget(FunctionWrappingTarget):
    """A target that calls a function of a module with itself as the first argument."""

    def run(self) -> None:
        """Call it."""
        self._function(self, *self.args, **self.kwargs)


def check(target: object) -> None:
    """RuntimeError where the constructor of Target was not called, or what was added is no target."""
    if not isinstance(target, Target):
        raise RuntimeError(f"{type(target).__name__} is not a Target")
    names = ("followOn", "children", "childCommands", "time", "memory", "cpu")
    attributes = [f"_Target__{name}" for name in names] + ["globalTempDir", "loggingMessages"]
    missing = [name for name in attributes if name not in target.__dict__]
    if missing:
        raise RuntimeError(
            f"the target class {type(target).__name__} does not call Target.__init__ in its own constructor: "
            f"{', '.join(missing)} missing"
        )


def __getattr__(name: str) -> Any:
    """`Stack`, which some import from here."""
    if name == "Stack":
        from .stack import Stack

        return Stack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""An old target as the engine sees it: runs it, then hands on the children, the follow-on and the messages that it left."""

from __future__ import annotations

import os
from typing import Any

import jobtree._target
from jobtree import _context
from jobtree.errors import CommandFailed

from ._acid import maybe_dying
from ._logs import setLogLevel
from ._terms import Terms
from .target import FunctionWrappingTarget, Target, check

#: So much of what a target tells the master fits into its commit (characters, of up to four bytes).
_COMMITTED_CHARACTERS = 15_000
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Step(jobtree._target.Target[None]):
    """Wraps `old`. What it adds is serialised when `run()` has returned, each by itself, and committed with it."""

    def __init__(self, old: Target, terms: Terms) -> None:
        check(old)
        memory, cpus = old.getMemory(), old.getCpu()
        own = terms.of(memory, cpus)
        self.refusal = own.refusal(memory, cpus)
        super().__init__(**({"retries": 0} if self.refusal else own.requests(memory, cpus)))
        self.old = old
        self.terms = terms

    def run(self) -> None:
        """Run it, and add what it has left; any escape from it undoes all of that."""
        if self.refusal:
            raise RuntimeError(self.refusal)
        own = self.terms.of(self.old.getMemory(), self.old.getCpu())
        if own.threads:
            _use_threads(own.count_of_cpus(self.old.getCpu()))
        setLogLevel(own.log_level)
        with maybe_dying(own.half_die):
            self.old.run()
            self._hand_on()

    def _hand_on(self) -> None:
        old = self.old
        follow_on = old.getFollowOn()
        if follow_on is not None:
            self.set_follow_on(self._made(follow_on))
        for child in old.getChildren():
            self.add_child(self._made(child))
        for command, _ in old.getChildCommands():
            self.add_child(CommandStep(command, self.terms))
        self._tell_master(old.getMasterLoggingMessages())

    def _tell_master(self, messages: list[str]) -> None:
        """They are delivered with the commit, or a little before it where they are more than a commit takes."""
        context = _context.current()
        assert context is not None
        few = sum(len(message) + 100 for message in messages) < _COMMITTED_CHARACTERS
        for message in messages:
            context.log(message, "CRITICAL", live=not few)

    def _made(self, target: Any) -> jobtree._target.Target[Any]:
        return target if isinstance(target, jobtree._target.Target) else Step(target, self.terms)

    def _jobtree_default_name_(self) -> str:
        old = self.old
        return old.fnName if isinstance(old, FunctionWrappingTarget) else type(old).__name__


class CommandStep(jobtree._target.Target[None]):
    """A child that is a shell command."""

    def __init__(self, command: str, terms: Terms) -> None:
        own = terms.of(0, 0)
        super().__init__(**own.requests(0, 0))
        self.command = command
        self.half_die = own.half_die

    def run(self) -> None:
        """Run it; raises CommandFailed."""
        from ._programs import call

        with maybe_dying(self.half_die):
            status = call(self.command)
            if status != 0:
                raise CommandFailed(self.command, status)

    def _jobtree_default_name_(self) -> str:
        return os.path.basename((self.command.split() or ["command"])[0]) or "command"


def _use_threads(count: int) -> None:
    """What an old target asked for is not what it was granted on one machine; its own programs go by what it asked for."""
    for name in _THREADS:
        os.environ[name] = str(count)

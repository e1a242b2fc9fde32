"""What can be done to a run from outside: its master is asked; without one it is written into the journal of the tree at rest."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from .errors import NoMaster, TreeLocked, UsageError

#: How often to look again whether a master has come, or gone, that did not answer.
TRIES = 3


def ask(tree: str | os.PathLike[str], verb: str, /, **about: Any) -> dict[str, Any]:
    """The answer to a request, with ``live``: whether a master has given it.

    Raises UsageError with the words of a refusal, or where only a living master could do it; NoMaster if there is one, but
    it does not answer.
    """
    path = os.fspath(tree)
    for left in reversed(range(TRIES)):
        try:
            answer = _ask_master(path, verb, about) if has_master(path) else _at_rest(path, verb, about)
        except (NoMaster, TreeLocked):
            if not left:
                raise
            time.sleep(0.5)  # one has just come, or gone
            continue
        if "error" in answer:
            raise UsageError(str(answer["error"]))
        return answer
    raise AssertionError


def has_master(tree: str) -> bool:
    """Whether a master is at work on a tree."""
    from .master.journal.directory import Directory
    from .master.journal.files import Files
    from .views.presence import master_of

    return master_of(Directory.open(Files(), tree)) is not None


def end_workers(tree: str) -> list[str]:
    """Without a master: end the workers that the journal knows of, as the launcher names them; which it has ended.

    Blocks of which only the name is known are looked up by it.
    """
    from . import _opening
    from ._pool import make_pools
    from .launchers.base import BlockState
    from .options import Options

    opened = _opening.open_tree(Path(tree), create=False)
    try:
        pools = make_pools(Options.from_wire(opened.tree.options), opened.path, opened.path / "blocks")
        launchers = {pool.name: pool.launcher for pool in pools}
        ended: list[str] = []
        for name, launcher in launchers.items():
            blocks = [block for block in opened.ledger.blocks.values() if (block.pool if block.pool in launchers else "") == name]
            ids = [ident for block in blocks for ident in (sorted(block.alive) or launcher.find(block.name))]
            states = launcher.poll() if ids else {}
            alive = [ident for ident in ids if ident not in states or states[ident].state is not BlockState.ENDED]
            if alive:
                launcher.cancel(alive)
            ended += alive
        return ended
    finally:
        opened.close()


def _ask_master(tree: str, verb: str, about: dict[str, Any]) -> dict[str, Any]:
    from .protocol.client import Client

    with Client(tree) as client:
        return {**client.ask(verb, **about), "live": True}


def _at_rest(tree: str, verb: str, about: dict[str, Any]) -> dict[str, Any]:
    """Hold the tree for a moment as a master would, and write down what was decided."""
    from . import _opening
    from .master import records as r
    from .master.control import BY_RECORD, decide
    from .master.desk import Refused
    from .master.journal.writer import Journal
    from .options import Options

    if verb not in BY_RECORD:
        raise UsageError(f"no master is at work on {tree}; jobtree restart {tree} starts one")
    opened = _opening.open_tree(Path(tree), create=False)
    try:
        if opened.is_new:
            raise UsageError(f"{tree} has never begun: run its script again instead")
        default = Options.from_wire(opened.tree.options).default_memory
        try:
            records, answer = decide(opened.tree, verb, about, time.time(), default)
        except Refused as refusal:
            raise UsageError(str(refusal)) from None
        if records:
            _opening.claim(opened)
            directory = opened.directory
            journal = Journal.open(directory.files, directory, opened.epoch, opened.reader.tail, opened.payloads)
            for record in records:
                opened.tree.apply(record)
            journal.append([r.encode(record) for record in records], [], sync=True)
            journal.close()
            if journal.paused is not None:
                raise UsageError(f"the journal of {tree} can't be written: {journal.paused}")
        return {**answer, "live": False}
    finally:
        opened.close()

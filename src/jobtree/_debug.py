"""Runs a target of a tree again, here and in the foreground, under a debugger; nothing of it becomes part of the tree."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import _context
from ._recording import Creation, Recorder
from ._results import values_of
from .errors import UsageError
from .ids import Attempt, PromiseKey
from .master.nodes import Node, Phase, Run
from .protocol import blobs, payload
from .protocol.messages import default_temp
from .protocol.tracebacks import skip_ours, text_of
from .views.history import History


class Rehearsal:
    """The surroundings of a target that is run for its own sake: what it creates is counted and thrown away."""

    def __init__(self, granted: Mapping[str, Any], name: str, temp: Path | None) -> None:
        self.granted = granted
        self.created = 0
        self._name = name
        self._temp = temp
        self._made: list[str] = []
        self._begun = time.monotonic()
        self._local: Path | None = None

    def create(self, creation: Creation) -> None:
        """It would have been added."""
        self.created += 1

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        """What the master's log would have."""
        print(f"{level} {self._name}: {text}", file=sys.stderr)

    def local_temp_dir(self) -> Path:
        """A fresh one."""
        if self._local is None:
            self._local = self._fresh("local")
        return self._local

    def global_temp_dir(self) -> Path:
        """The chain's, as its last attempt has left it; a fresh one if it has none."""
        if self._temp is None or not self._temp.is_dir():
            self._temp = self._fresh("global")
        return self._temp

    def _fresh(self, kind: str) -> Path:
        made = tempfile.mkdtemp(prefix=f"jobtree-{kind}-")
        self._made.append(made)
        return Path(made)

    def remaining_time(self) -> float | None:
        """By the time limit, which nobody enforces here."""
        limit = self.granted.get("time_limit")
        return None if limit is None else max(0.0, limit - (time.monotonic() - self._begun))

    def cancel(self, key: PromiseKey) -> None:
        """It would have been cancelled."""

    def clean_up(self) -> None:
        """Remove what was made here."""
        for made in self._made:
            shutil.rmtree(made, ignore_errors=True)


def debug(tree: str, target: int, *, with_pdb: bool = True) -> int:
    """Run a target again with what it was given; 0 if it succeeds now, else 1, after a look around in the failing frame.

    Raises UsageError if the tree does not have what it needs any more.
    """
    from ._opening import Surroundings
    from ._run import _load_script

    history = History(tree)
    history.poll()
    node = _find(history, target)
    around = Surroundings.remembered(history.tree.about)
    path = Path(os.path.abspath(tree))
    _load_script(around)
    os.chdir(around.cwd)
    sys.argv[:] = around.argv
    options = history.tree.options
    granted = {"cpus": options.get("default_cpus", 1.0), "memory": options.get("default_memory", 2 << 30), **node.form.requests}
    temp = node.temp or (default_temp(node.chain, *node.attempt) if node.attempt.number else None)
    rehearsal = Rehearsal(granted, f"{node.form.name}:{node.id}", path / "tmp" / temp if temp is not None else None)
    print(f"running {node.form.name}:{node.id} here, with what its {node.begun or 1}. attempt was given", file=sys.stderr)
    try:
        return _perform(node, _loaded(history, path, node), rehearsal, with_pdb=with_pdb)
    finally:
        rehearsal.clean_up()


def _find(history: History, target: int) -> Node:
    tree = history.tree
    tree.settle()
    what = tree.nodes.get(target) or tree.runs.find(target)
    if what is None:
        raise UsageError(f"{target} is done, or was never there: what it was given is not kept")
    if isinstance(what, Run):
        node = tree._single(target)
        assert node is not None
        return node
    if what.phase in (Phase.HELD, Phase.BLOCKED):
        raise UsageError(f"{what.form.name}:{target} waits for others, and can't be run without what they return")
    if what.phase is Phase.WAITING:
        raise UsageError(f"{what.form.name}:{target} has ended well and waits for its children; what it was given is not kept")
    return what


def _loaded(history: History, path: Path, node: Node) -> Any:
    """The target as a runner would have unpickled it."""
    try:
        if node.blob is not None:
            size, sha = node.blob
            data = blobs.read_blob(blobs.blob_path(path, *node.creator, node.n), blobs.BlobName(size, sha))
        else:
            data = history.payloads(*node.source, 1)[1]
        values = values_of(node.takes or (), history.payloads, path)
    except LookupError as error:
        raise UsageError(f"what {node.form.name}:{node.id} was given is not in the journal any more: {error}") from error

    def code(sha: str) -> bytes:
        source = history.tree.codes.get(sha)
        return history.payloads(source.record, source.place, 1)[1] if source is not None else blobs.read_code(path, sha)

    return payload.loads(data, values, code)


def _perform(node: Node, target: Any, rehearsal: Rehearsal, *, with_pdb: bool) -> int:
    recorder = Recorder(Attempt(0, 1), target, node.begun + 1, rehearsal)
    try:
        with _context.running(recorder):
            recorder.finish(target.run())
    except Exception as error:  # noqa: BLE001  # whatever it is, that is what is looked for
        print(text_of(error), file=sys.stderr, end="")
        if with_pdb:
            import pdb  # noqa: T100  # that is what it is for

            pdb.post_mortem(skip_ours(error.__traceback__) or error.__traceback__)
        return 1
    print(f"it has succeeded, and would have created {rehearsal.created} targets; the tree is as it was", file=sys.stderr)
    return 0

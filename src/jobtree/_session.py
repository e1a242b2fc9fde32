"""The master of a session: a process beside the user's own, so that nothing that happens there can stop it.

``python -P .../_session.py`` reads one line of JSON on its standard input (the tree, the options, what targets are to find
around them), and says on its standard output, a line of JSON each: that it is ready, or why not; what it has to tell; and how it
ended. It stops when its input is closed: then whoever has started it is gone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobtree import __version__, _opening
from jobtree.errors import JobtreeError, UsageError
from jobtree.ids import NOBODY
from jobtree.master import records as r
from jobtree.options import Options
from jobtree.views.progress import snapshot_of

if TYPE_CHECKING:
    from jobtree.master.effects import TellFailure
    from jobtree.master.main import Master
    from jobtree.master.state import MasterState

#: What a session's root is called in the views.
NAME = "session"


class Relay:
    """Passes on what there is to see of a run to the process that has started this one."""

    def __init__(self, shows: bool) -> None:
        self._shows = shows
        self._began = time.monotonic()
        self._last = ""

    def show(self, state: MasterState) -> None:
        """Its figures, if they are wanted and have changed."""
        if not self._shows:
            return
        snapshot = asdict(replace(snapshot_of(state, time.monotonic() - self._began), hints=()))
        elapsed = snapshot.pop("elapsed")
        line = json.dumps(snapshot)
        if line != self._last:
            self._last = line
            self.put(shown={**snapshot, "elapsed": elapsed})

    def say(self, level: str, text: str) -> None:
        """A word of the master's."""
        self.put(said=[level, text])

    def failed(self, what: TellFailure) -> None:
        """Nothing: a session's failures are told to its client, as results."""

    def put(self, **what: Any) -> None:
        """One line; nobody may be there to read it."""
        try:
            print(json.dumps(what), flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for life


def main() -> int:
    """Run until the door is closed and all is done; the exit status."""
    spec = json.loads(sys.stdin.buffer.readline())
    relay = Relay(spec["shows"])
    try:
        outcome = _run(spec, relay)
    except JobtreeError as error:
        relay.put(refused=str(error))
        return error.exit_status
    relay.put(ended=[outcome.state, outcome.reason])
    return int(outcome.status)


def _run(spec: dict[str, Any], relay: Relay) -> Any:
    options = Options.from_wire(spec["options"])
    around = _opening.Surroundings(**spec["around"])
    opened = _opening.open_tree(Path(spec["tree"]), create=True)
    try:
        if not opened.is_new:
            raise UsageError(f"{opened.path} holds a run already; a session wants a tree of its own: give another with tree=...")
        _opening.claim(opened)
        with _opening.master(opened, options, around, relay) as master:
            _watch_over(master)
            relay.put(ready=str(opened.path))
            outcome = master.run(_opening_records(opened, options, around))
            relay.show(master.state)
            return outcome
    finally:
        opened.close()


def _opening_records(opened: _opening.Opened, options: Options, around: _opening.Surroundings) -> list[r.Record]:
    now = time.time()
    about = {**around.about(), "digest": "", "name": NAME, "session": True, "version": __version__}
    began = r.EpochBegan(now, opened.epoch, socket.gethostname(), os.getpid(), options.to_wire())
    root = r.TargetsCreated([0], b"", now, *NOBODY, 1, 1, [[NAME, None, {}]], [0, 1], {})
    return [r.RunDescribed(now, about), began, root]


def _watch_over(master: Master) -> None:
    """End when our standard input does: the other end is held by whoever has started us, and by nobody else."""
    descriptor = sys.stdin.fileno()

    def drain() -> None:
        if not os.read(descriptor, 4096):
            master.server.unwatch(descriptor)
            master.end_now()

    master.server.watch(descriptor, drain)


if __name__ == "__main__":
    sys.exit(main())

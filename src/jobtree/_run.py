"""Runs a tree from the user's own process: new, continued or restarted; gives its result, or raises why there is none."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from . import __version__, _context
from ._target import Target, name_of, requests_of
from .errors import Interrupted, JobtreeError, JournalDamaged, TargetsFailed, TreeLocked, TreeMismatch, UsageError
from .options import Options

if TYPE_CHECKING:
    from .views.progress import Console

R = TypeVar("R")
T = TypeVar("T")

#: Options that say what is seen of a run, and nothing about the run itself.
_SHOWN = frozenset({"log_level", "log_file", "progress"})
#: Bytes of a command line that fit into one record of the journal with what else it holds.
MOST_ARGV = 900_000


@overload
def run(
    target: Target[R],
    options: argparse.Namespace | Options | None = None,
    /,
    *,
    tree: str | os.PathLike[str] | None = None,
    inline: bool = False,
    **keywords: Any,
) -> R: ...


@overload
def run(
    target: list[Target[R]],
    options: argparse.Namespace | Options | None = None,
    /,
    *,
    tree: str | os.PathLike[str] | None = None,
    inline: bool = False,
    **keywords: Any,
) -> list[R]: ...


def run(
    target: Target[Any] | list[Target[Any]],
    options: argparse.Namespace | Options | None = None,
    /,
    *,
    tree: str | os.PathLike[str] | None = None,
    inline: bool = False,
    **keywords: Any,
) -> Any:
    """Run ``target`` and all that it leads to; return its result (of a list of targets: a list).

    ``options`` are parsed arguments (see ``add_options``) or an ``Options``; further keywords are options by name, and win.
    An existing tree of the same run is continued, a complete one returns its stored result; ``fresh=True`` begins anew. With
    ``inline`` everything happens in this process, in order, without a journal, for debuggers and tests.

    Raises TargetsFailed if targets have failed; UsageError, TreeMismatch, TreeLocked, JournalDamaged, StorageFailed or
    Interrupted if the run could not be made, or not to its end.
    """
    refuse_inside_runner()
    speak_plainly()
    root = _as_root(target)
    merged = Options.merged(options, tree=tree, **keywords)
    if inline:
        from ._inline import run_inline

        return run_inline(root, retries=merged.retries, keep_going=merged.keep_going, fail_fast=merged.fail_fast)
    try:
        return _run_root(root, merged)
    except TargetsFailed as failed:
        # The frames in between are ours; what the user wants to see is the cause.
        raise failed.with_traceback(None) from failed.__cause__


def restart(tree: str | os.PathLike[str], options: argparse.Namespace | Options | None = None, /, **keywords: Any) -> Any:
    """Go on with a tree that was stopped, or give failed targets another chance; return the root's result.

    Options that are given now win, the others are the tree's. Script, arguments and working directory are the tree's too; the
    environment is the caller's. Raises as ``run`` does.
    """
    refuse_inside_runner()
    speak_plainly()
    merged = Options.merged(options, tree=tree, **keywords)
    return Life(merged).restart(want_result=True)


def restart_tree(tree: str, given: Mapping[str, Any]) -> int:
    """``jobtree restart``: as ``restart``, but nothing is unpickled; the exit status, after a report."""
    merged = Options.merged(None, tree=tree, **given)
    try:
        Life(merged).restart(want_result=False)
    except TargetsFailed as failed:
        print(failed, file=sys.stderr)
        return failed.exit_status
    return 0


def main(target: Any, parser: argparse.ArgumentParser | None = None) -> None:
    """Parse the command line, run ``target``, print its result, exit with the right status: a script's last line.

    ``target`` is a target, a function target or function, or a Target subclass; the arguments of the last three are read from
    their annotations. ``parser`` may have arguments of its own.
    """
    from ._arguments import make_root, parser_for

    parser = parser if parser is not None else parser_for(target)
    from .options import add_options

    add_options(parser)
    arguments = parser.parse_args()
    try:
        result = run(make_root(target, arguments), arguments)
    except TargetsFailed:
        raise
    except JobtreeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(_status(error))
    if result is not None:
        print(result)
    sys.exit(0)


# -- the way there ----------------------------------------------------------------------------------------------------


def refuse_inside_runner() -> None:
    if _context.inside_runner():
        raise UsageError(
            "jobtree.run was called while a worker was importing the script, or inside a target; "
            'put the call under: if __name__ == "__main__":'
        )


def _as_root(target: Any) -> Target[Any]:
    if isinstance(target, list):
        from ._gather import Gather

        return Gather(target)
    if not isinstance(target, Target):
        from ._recording import words_for_no_target

        raise UsageError(f"jobtree.run takes a target: {words_for_no_target(target)}")
    return target


def _run_root(root: Target[Any], options: Options) -> Any:
    from .protocol.references import register_script

    script = register_script()
    if "tree" not in options.origins and (script is None):
        options = replace(options, tree=_session_tree())
    if options.dry_run:
        _say_what_would_be(options, script)
    return Life(options).run(root, script)


def _say_what_would_be(options: Options, script: Any) -> NoReturn:
    """`--dry-run`: what follows in the script is about a result that there is none of."""
    from ._dry_run import dry_run

    name = Path(script.to_wire()[0]).stem if script is not None else "session"
    for line in dry_run(options, Path(os.path.abspath(options.tree)), name):
        print(line)
    sys.stdout.flush()
    raise SystemExit(0)


def _session_tree() -> Path:
    """Where a REPL or notebook keeps a run for which no tree was given."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "jobtree" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}"


class Life:
    """One life of a master on one tree, in this process.

    ``console`` opens what it shows itself on, ``manner`` are settings of a master for which there are no options.
    """

    def __init__(
        self,
        options: Options,
        console: Callable[[Options], AbstractContextManager[Console]] | None = None,
        manner: Mapping[str, Any] | None = None,
    ) -> None:
        self.options = options
        self._console = console or _console
        self._manner = manner
        self.path = Path(os.path.abspath(options.tree))

    def run(self, root: Target[Any], script: Any) -> Any:
        """Begin, or continue, the run of ``root``."""
        from ._digest import digest_of
        from ._promise import Promise
        from .protocol import payload

        pickled = payload.dumps(root, Promise)
        if pickled.promises:
            raise UsageError("the root holds a promise, which only a running target can make")
        if self.options.fresh:
            _move_away(self.path)
        opened = self._open(create=True)
        try:
            around = _here(script)
            _refuse_too_long(around.argv)
            about = {**around.about(), "digest": digest_of(pickled.data, pickled.codes), "name": name_of(root)}
            options = self.options
            if not opened.is_new:
                _refuse_another(self.path, opened.tree.about, about)
                options = options.restarting(Options.from_wire(opened.tree.options))
                if opened.tree.outcome == "complete":
                    return self._stored(opened)
            new = _Root(root, pickled, about) if opened.is_new else None
            return self._live(opened, options, around, new, want_result=True)
        finally:
            opened.close()

    def run_or_go_on(self, root: Target[Any], script: Any) -> bool:
        """As ``run``, by old jobTree's rule: a tree that there is goes on with its own root and options, but for what is shown.

        False if there was nothing left to do.
        """
        from ._promise import Promise
        from .protocol import payload

        opened = self._open(create=True)
        try:
            around = _here(script)
            options, new = self.options, None
            if opened.is_new:
                _refuse_too_long(around.argv)
                pickled = payload.dumps(root, Promise)
                new = _Root(root, pickled, {**around.about(), "digest": "", "name": name_of(root)})
            elif opened.tree.outcome == "complete":
                return False
            else:
                options = replace(options, given=options.given & _SHOWN).restarting(Options.from_wire(opened.tree.options))
            self._live(opened, options, around, new, want_result=False)
            return True
        finally:
            opened.close()

    def restart(self, *, want_result: bool) -> Any:
        """Go on with a tree as it remembers itself."""
        from . import _opening

        if not self.path.is_dir():
            raise UsageError(f"{self.path} is not there; give the directory of a run")
        opened = self._open(create=False)
        try:
            if opened.is_new:
                raise UsageError(f"{self.path} has never begun: run its script again instead")
            around = _opening.Surroundings.remembered(opened.tree.about)
            if opened.tree.outcome == "complete":
                if not want_result:
                    return self._say_complete("there is nothing left to do")
                _load_script(around)
                return self._stored(opened)
            options = self.options.restarting(Options.from_wire(opened.tree.options))
            if want_result:
                _load_script(around)
            return self._live(opened, options, around, None, want_result=want_result)
        finally:
            opened.close()

    def _open(self, *, create: bool) -> Any:
        from . import _detach, _opening

        options = self.options
        if options.detach:
            _detach.detach()
        return _opening.open_tree(self.path, create=create, take_over=options.take_over, accept_loss=options.accept_loss)

    def _stored(self, opened: Any) -> Any:
        from ._results import load_result

        self._say_complete("this is its stored result (--fresh runs it anew)")
        return load_result(opened.tree, opened.payloads.fetch, self.path)

    def _say_complete(self, words: str) -> None:
        print(f"jobtree: {self.path} is complete; {words}", file=sys.stderr)

    def _live(self, opened: Any, options: Options, around: Any, new: _Root | None, *, want_result: bool) -> Any:
        from . import _detach, _opening
        from ._results import load_result
        from ._runs import remember

        with self._console(options) as display:
            _opening.claim(opened)
            remember(opened.directory.run_id.hex(), self.path)
            if options.detach:
                _detach.begun(self.path)
            opening = self._opening_records(opened, options, new)
            with _opening.master(opened, options, around, display, self._manner) as master:
                outcome = master.run(opening)
                display.close(master.state)
                if outcome.state == "complete":
                    return load_result(opened.tree, master.journal.fetch, self.path) if want_result else None
        if outcome.state == "failed":
            raise self._failed(unpickle=want_result)
        if outcome.status == JournalDamaged.exit_status:
            raise JournalDamaged(outcome.reason.replace("--accept-loss`", f"--accept-loss {self.path}`"))
        if outcome.status in (130, 143, 129):
            raise Interrupted(f"stopped: {outcome.reason}; jobtree restart {self.path} goes on", outcome.status)
        raise JobtreeError(f"{outcome.reason}\njobtree restart {self.path} tries again")

    def _opening_records(self, opened: Any, options: Options, new: _Root | None) -> list[Any]:
        from .master import records as r

        now = time.time()
        began = r.EpochBegan(now, opened.epoch, socket.gethostname(), os.getpid(), options.to_wire())
        if new is None:
            return [*self._accepted(opened, now), began]
        return [r.RunDescribed(now, {**new.about, "version": __version__}), began, *new.records(now, self.path)]

    def _accepted(self, opened: Any, now: float) -> list[Any]:
        """That the user has accepted a loss, where there may be one."""
        from .master import records as r

        if not self.options.accept_loss:
            return []
        if opened.loss:
            print(f"jobtree: {opened.loss}; that was accepted, and the run goes on", file=sys.stderr)
        return [r.LossAccepted(now, opened.epoch, opened.tree.records, opened.loss or "--accept-loss")]

    def _failed(self, *, unpickle: bool) -> TargetsFailed:
        from ._results import Failures

        failures = Failures(self.path, unpickle=unpickle)
        return TargetsFailed(failures, str(self.path), failures.report())


def _console(options: Options) -> AbstractContextManager[Console]:
    from . import _logfile
    from .views.progress import Progress

    progress = "plain" if options.detach and options.progress == "auto" else options.progress
    return _logfile.console(Progress(progress, level=options.log_level), options.log_file, options.log_level)


class _Root:
    """The root of a new run, as records."""

    def __init__(self, target: Target[Any], pickled: Any, about: dict[str, Any]) -> None:
        self.target = target
        self.pickled = pickled
        self.about = about

    def records(self, now: float, tree: Path) -> list[Any]:
        """The code that it needs, and itself; large ones are written to TREE/blobs first."""
        from .ids import NOBODY
        from .master import records as r
        from .protocol import blobs
        from .protocol.messages import INLINE_LIMIT

        made: list[Any] = []
        for sha, code in self.pickled.codes.items():
            if len(code) > INLINE_LIMIT:
                blobs.write_code(tree, sha, code)
            else:
                made.append(r.CodeAdded([len(code)], code, sha))
        data, extras = self.pickled.data, {}
        if len(data) > INLINE_LIMIT:
            blob = blobs.write_blob(blobs.blob_path(tree, *NOBODY, 1), data)
            data, extras = b"", {0: [[], [], list(blob)]}
        requests = requests_of(self.target)
        form = [name_of(self.target), None, requests.to_wire()]
        made.append(r.TargetsCreated([len(data)], data, now, *NOBODY, 1, 1, [form], [0, 1], extras))
        return made


def _here(script: Any) -> Any:
    """What targets are to find around them: what is around us."""
    from ._opening import Surroundings

    umask = os.umask(0o077)
    os.umask(umask)
    path = [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]
    return Surroundings(script.to_wire() if script is not None else None, list(sys.argv), os.getcwd(), path, umask)


def _load_script(around: Any) -> None:
    """Make the script's own classes known here, so that the result can be unpickled."""
    from .protocol.references import ALIAS, Script, load_script, register_script

    registered = register_script()
    if around.script is None or (registered is not None and registered.to_wire() == around.script):
        return
    ours = sys.modules["__main__"]
    for entry in around.sys_path:
        if entry not in sys.path:
            sys.path.append(entry)
    try:
        load_script(Script.from_wire(around.script))
    except Exception as error:
        raise UsageError(f"the script {around.script[0]} can't be imported, so its result can't be read: {error}") from error
    finally:
        sys.modules["__main__"] = ours
    assert ALIAS in sys.modules


def _refuse_too_long(argv: list[str]) -> None:
    size = sum(len(word.encode("utf-8", "surrogateescape")) + 5 for word in argv)
    if size > MOST_ARGV:
        raise UsageError(f"the command line has {size:,} bytes, and a tree remembers {MOST_ARGV:,}; pass the words in a file")


def _refuse_another(path: Path, held: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if held["digest"] == given["digest"] and held["name"] == given["name"]:
        return
    script = Path(held["script"][0]).name if held.get("script") else held["name"]
    words = " ".join([script, *held["argv"][1:]])
    raise TreeMismatch(f"{path} holds another run ({words}); use --tree NEW, --fresh, or jobtree restart {path}")


def _move_away(path: Path) -> None:
    """Give an existing tree another name, so that its own is free."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{path} is a file; name another directory with --tree")
    from .master.journal.directory import Directory
    from .master.journal.files import Files

    if not any(path.iterdir()):
        return
    lock = Directory.open(Files(), str(path)).lock()
    n = 1
    while (moved := path.with_name(f"{path.name}.{n}")).exists():
        n += 1
    try:
        path.rename(moved)
    except OSError as error:
        raise UsageError(f"{path} can't be moved to {moved}: {error.strerror}") from error
    finally:
        lock.release()


def _status(error: JobtreeError) -> int:
    return error.exit_status


_plain = False


def speak_plainly() -> None:
    """In a script, let an error that jobtree raises on purpose end it with one line and its own exit status.

    TargetsFailed is shown as Python shows it, with the user's own remote frames; only its status is ours.
    """
    global _plain
    if _plain or hasattr(sys, "ps1") or not getattr(sys.modules.get("__main__"), "__file__", None):
        return
    _plain = True
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, JobtreeError):
            before(kind, error, trace)
            return
        if isinstance(error, TargetsFailed):
            before(kind, error, trace)
        else:
            print(f"jobtree: {error}", file=sys.stderr)
        raise SystemExit(_status(error))

    sys.excepthook = hook


__all__ = ["TreeLocked", "main", "restart", "restart_tree", "run"]

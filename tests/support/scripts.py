"""Users' scripts as tests need them: written to a directory, run as processes of their own, and nothing of them left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
#: Nothing here is a matter of speed: only what hangs takes so long.
PATIENCE = 60.0
#: What is to end by itself has no more to do than to notice that it should.
LEAVE_SECONDS = 20.0


@dataclass(frozen=True)
class Ended:
    """How a process ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it printed."""
        return self.out.splitlines()

    @property
    def last_error(self) -> str:
        """The last line that it complained with."""
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else ""


class Running:
    """A script that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, *, killed: bool = False, patience: float = PATIENCE) -> Ended:
        """Wait for its end, for `patience` seconds; a Python traceback of ours is reported at once.

        `killed`: a signal is what ended it.
        """
        out, err = self.process.communicate(timeout=patience)
        assert killed or self.process.returncode >= 0, f"it was killed by signal {-self.process.returncode}\n{err}"
        return Ended(self.process.returncode, out, err)

    def kill(self) -> Ended:
        """SIGKILL it."""
        self.process.kill()
        return self.wait(killed=True)


class Project:
    """A directory with scripts; processes are looked for by it, because all of them are started in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tree = directory / "T"
        self.ledger = directory / "ledger"
        self.environment = _environment(directory)
        self._running: list[Running] = []

    def write(self, name: str, source: str) -> Path:
        """Write a file; common indentation is taken away."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    def start(self, *argv: object, **environment: str) -> Running:
        """Start Python with these arguments."""
        process = subprocess.Popen(
            [sys.executable, *map(str, argv)], cwd=self.directory, env={**self.environment, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # Whoever runs the tests in the background of a shell ignores ^C, and so would all that they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        self._running.append(Running(process))
        return self._running[-1]

    def run(self, *argv: object, status: int | None = 0, **environment: str) -> Ended:
        """Run Python with these arguments; its exit status must be `status` (None: any)."""
        ended = self.start(*argv, **environment).wait()
        assert status is None or ended.status == status, f"exit status {ended.status}\n{ended.out}\n{ended.err}"
        return ended

    def script(self, source: str, *arguments: object, name: str = "script.py", status: int | None = 0) -> Ended:
        """Write a script and run it."""
        return self.run(self.write(name, source), *arguments, status=status)

    def restart(self, status: int | None = 0, **options: object) -> Ended:
        """What `jobtree.restart` makes of the tree, its result printed."""
        code = f"import jobtree; print(jobtree.restart({str(self.tree)!r}, **{options!r}))"
        restarter = self.write("restart_the_tree.py", code)
        return self.run(restarter, status=status)

    def noted(self) -> list[str]:
        """The lines of the ledger: a file outside the tree to which targets append what they do."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def processes(self) -> dict[int, str]:
        """Live processes of this project, by pid, with their command lines: those that targets have started, too."""
        found = {}
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal() and int(entry.name) != os.getpid() and self._is_ours(Path(entry.path)):
                found[int(entry.name)] = _command_line(Path(entry.path))
        return found

    def workers(self) -> list[int]:
        """The pids of supervisors."""
        blocks = re.findall(r'"local:(\d+):', "".join(path.read_text() for path in self.tree.glob("blocks/*.json")))
        alive = self.processes()
        return [int(pid) for pid in blocks if int(pid) in alive]

    def _is_ours(self, entry: Path) -> bool:
        try:
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return False
            mine = str(self.directory)
            return mine in _command_line(entry) or os.readlink(entry / "cwd").startswith(mine)
        except OSError:
            return False  # gone meanwhile, or somebody else's

    def close(self, *, kill: bool) -> None:
        """After a test: everything must have ended by itself, or else (`kill`) is ended now."""
        try:
            if not kill:
                poll(lambda: not self.processes(), lambda: f"left behind: {self.processes()}", LEAVE_SECONDS)
        finally:
            for running in self._running:
                if running.process.poll() is None:
                    running.process.kill()
                running.process.communicate()
            while processes := self.processes():
                for pid in processes:
                    _kill(pid)
                time.sleep(0.01)


@contextmanager
def project(directory: Path) -> Iterator[Project]:
    """A project which at the end has left nothing behind; after a failure its processes are killed."""
    made = Project(directory)
    try:
        yield made
    except BaseException:
        made.close(kill=True)
        raise
    made.close(kill=False)


def poll(
    condition: Callable[[], object], words: Callable[[], str] | str = "it never came true", seconds: float = PATIENCE
) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(words if isinstance(words, str) else words())
        time.sleep(0.01)


def _environment(directory: Path) -> dict[str, str]:
    """Nobody's settings but ours; no configuration of who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBTREE")}
    inherited = [kept["PYTHONPATH"]] if kept.get("PYTHONPATH") else []
    path = os.pathsep.join([str(SOURCE), *inherited])
    home = {"HOME": str(directory), "XDG_DATA_HOME": str(directory / "data")}
    return {**kept, **home, "PYTHONPATH": path, "JOBTREE_LOGIN_NODE": "no"}  # though batch systems be installed here


def _command_line(entry: Path) -> str:
    return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was faster


def counted(lines: Sequence[str]) -> dict[str, int]:
    """How often each line is there."""
    return {line: lines.count(line) for line in lines}

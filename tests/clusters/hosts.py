"""The real batch systems of these tests: hosts to be killed and cut off, runs that are started on head as an ordinary user."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "site"
SOURCE = Path(__file__).parents[2]
HOME = Path("/home/hpc")
WORK = HOME / "jobtree-tests"
VENV = WORK / "venv"
NODES = 3
SLOTS, MEMORY = "20", "64G"
PYTHON = "/usr/bin/python3"
NEEDED = ("pyzmq", "msgpack", "cloudpickle", "tblib", "psutil", "rich")


def reason_to_skip() -> str:
    """Why these tests can't run here; empty if they can."""
    if os.getuid() != 0:
        return "only root can make the hosts of the test clusters"
    if shutil.which("apt-get") is None or shutil.which("unshare") is None:
        return "the test clusters need a Debian machine (apt-get, unshare)"
    return ""


def bring_up(system: str) -> None:
    """Start a batch system with its hosts; quick if it is up already."""
    environment = {**os.environ, "JT_CLUSTER_SLOTS": SLOTS, "JT_CLUSTER_MEMORY": MEMORY}
    _checked([str(SCRIPTS / f"{system}-up"), str(NODES)], environment=environment, seconds=600)


def take_down(system: str) -> None:
    """Stop a batch system, and remove the hosts when nobody uses them."""
    _checked([str(SCRIPTS / f"{system}-down")])


def prepare_user() -> None:
    """Give the ordinary user a Python with what jobtree needs, and jobtree's source as it is now."""
    WORK.mkdir(exist_ok=True)
    if not (VENV / ".ready").exists():
        if subprocess.run([PYTHON, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode:
            _checked(["apt-get", "install", "-y", "-q", "--no-install-recommends", "python3", "python3-venv"], seconds=600)
        _checked([PYTHON, "-m", "venv", "--clear", str(VENV)], seconds=120)
        _checked([str(VENV / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *NEEDED], seconds=600)
        (VENV / ".ready").touch()
    for name in ("src", "examples"):
        shutil.rmtree(WORK / name, ignore_errors=True)
        shutil.copytree(SOURCE / name, WORK / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "script.py", WORK / "script.py")
    _checked(["chown", "-R", "hpc:hpc", str(WORK)])
    WORK.chmod(0o755)


def on(host: str, *words: str, user: str = "hpc", directory: Path = HOME, seconds: float = 60) -> str:
    """Run a command on a host; what it printed on stdout, however it ended."""
    found = subprocess.run(
        [str(SCRIPTS / "on"), "-u", user, "-d", str(directory), host, *words],
        capture_output=True, text=True, timeout=seconds, check=False, env=_environment(),
    )  # fmt: skip
    return found.stdout


def host(verb: str, name: str) -> None:
    """kill, boot, cut or join a host."""
    _checked([str(SCRIPTS / "host"), verb, name])


@dataclass
class Run:
    """A run on head: its directory, its console, and the process that is its master."""

    system: str
    directory: Path
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    began: float = 0.0
    process: subprocess.Popen[bytes] | None = None

    @property
    def tree(self) -> Path:
        return self.directory / "tree"

    def start(self, *more: str) -> Run:
        """Start it, or start it again."""
        words = [str(VENV / "bin/python"), *self.words, "--launcher", self.system, "--tree", str(self.tree), *more]
        self.began = time.time()
        self.process = subprocess.Popen(
            [str(SCRIPTS / "on"), "-d", str(self.directory), "head", *words],
            stdin=subprocess.DEVNULL, stdout=(self.directory / "out").open("ab"), stderr=(self.directory / "console").open("ab"),
            env=_environment() | self.environment,
        )  # fmt: skip
        return self

    def console(self) -> str:
        return (self.directory / "console").read_text(errors="replace")

    def out(self) -> str:
        return (self.directory / "out").read_text(errors="replace")

    def wait(self, seconds: float = 120) -> int:
        """Its exit status."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.console()}\n{self.listing()}") from None

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 90) -> float:
        """Wait for something; how long it took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"waited {seconds:g} s for {what}:\n{self.console()}\n{self.listing()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def says(self, *words: str, seconds: float = 90) -> float:
        """Wait until the console has all these words."""
        return self.until(lambda: all(word in self.console() for word in words), f"the console to say {words}", seconds)

    def status(self) -> dict[str, Any]:
        """`jobtree status --json`."""
        found: dict[str, Any] = json.loads(self.verb("status", "--json", str(self.tree)))
        return found

    def verb(self, *words: str) -> str:
        """`jobtree VERB ...` on head."""
        return on("head", "env", f"PYTHONPATH={WORK / 'src'}", str(VENV / "bin/python"), "-m", "jobtree", *words)

    def notes(self, *wanted: str) -> list[list[str]]:
        """What the targets have written of themselves: words of each line of the file `notes` in the directory."""
        try:
            lines = (self.directory / "notes").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.split() for line in lines if not wanted or line.split()[0] in wanted]

    def workers(self) -> list[tuple[str, str]]:
        """Name and host of all workers that ever joined."""
        return [(name, name.partition("@")[2]) for name in re.findall(r"worker (\S+) has joined", self.console())]

    def master_pid(self) -> int:
        """The master's process id, on head."""
        return int(self.status()["pid"])

    def listing(self) -> str:
        """What the batch system lists of us."""
        return on("head", *(("qstat",) if self.system == "gridengine" else ("squeue", "-r")))

    def jobs(self) -> list[str]:
        """The ids of all jobs that are not over."""
        if self.system == "slurm":
            return on("head", "squeue", "-h", "-r", "-o", "%i").split()
        lines = on("head", "qstat", "-g", "d").splitlines()[2:]
        return [f"{line.split()[0]}.{line.split()[-1]}" for line in lines]

    def cancel(self, job: str) -> None:
        """End a job behind the master's back."""
        on("head", "scancel" if self.system == "slurm" else "qdel", job)

    def kill_master(self) -> None:
        """kill -9, as the kernel would when memory is short."""
        on("head", "kill", "-9", str(self.master_pid()), user="root")
        self.wait(30)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
        if self.system == "slurm":
            on("head", "scancel", "-u", "hpc")
        else:
            on("head", "qdel", "-u", "hpc")


def new_run(system: str, directory: Path, *words: str, script: str = "script.py", **environment: str) -> Run:
    """A run that is to be started, with a directory of its own that all hosts see."""
    directory.mkdir(parents=True)
    shutil.chown(directory, "hpc", "hpc")
    return Run(system, directory, [str(WORK / script), *words], environment)


def processes(node: str) -> Iterator[tuple[str, str]]:
    """Command line and environment of every process on a host."""
    text = on(
        node, "sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; tr '\\0' ' ' <$p/environ; echo; done",
        user="root",
    )  # fmt: skip
    lines = text.split("\n")
    yield from zip(lines[::2], lines[1::2], strict=False)


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "JOBTREE_"))}
    return clean | {"PYTHONPATH": str(WORK / "src")}


def _checked(words: list[str], *, environment: dict[str, str] | None = None, seconds: float = 60) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")

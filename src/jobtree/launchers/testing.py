"""The contract of a launcher as a test suite: subclass it, say how to make yours, and run pytest.

    from jobtree.launchers.testing import LauncherContract

    class TestPbsLauncher(LauncherContract):
        @pytest.fixture
        def launcher(self, tmp_path):
            return PbsLauncher(self.worker(tmp_path), tmp_path, PbsLauncher.Options(queue="test"))

The workers are small programs that write a file when they have started, and wait; no master is needed. The
directory must be seen by all nodes. Whatever a test has submitted is cancelled after it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId, BlockState, Launcher, SubmitBusy, SubmitRefused, WorkerSize

WORKER = """
import os, pathlib, signal, sys, time
directory, name, index = sys.argv[1], sys.argv[-3], sys.argv[-1]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("worker", index, "of", name, flush=True)
new = pathlib.Path(directory, f"{name}.{index}.started.new")
new.write_text(str(os.getpid()))
new.rename(new.with_suffix(""))
deadline = time.monotonic() + 600
stop = pathlib.Path(directory, f"{name}.stop")
while not stop.exists() and time.monotonic() < deadline:
    time.sleep(0.05)
"""

SHIM = """#!/bin/sh
# stands before the real program, and does for once what it is told
fault=$(head -n 1 {faults} 2>/dev/null)
if [ -n "$fault" ]; then
  sed -i 1d {faults}
  case $fault in
  hang) {real} "$@" >/dev/null 2>&1; exec sleep 600 ;;
  garbage) {real} "$@" >/dev/null 2>&1; echo '<html>503 Service Unavailable</html>'; exit 0 ;;
  empty) exit 0 ;;
  refuse) cat >/dev/null; echo 'no such thing: the contract test refuses this' >&2; exit 1 ;;
  esac
fi
exec {real} "$@"
"""


class Shims:
    """Programs in front of the real ones on PATH, which fail in the way that a test says, and as often."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        directory.mkdir()
        self._path = os.environ["PATH"]
        monkeypatch.setenv("PATH", f"{directory}:{self._path}")

    def put(self, program: str, *faults: str) -> None:
        """The next calls of `program` hang after it was done, answer garbage or nothing, are refused, or are "fine"."""
        real = shutil.which(program, path=self._path)
        assert real is not None, f"{program} is not on PATH"
        queue, shim = self._directory / f"{program}.faults", self._directory / program
        queue.write_text("".join(f"{fault}\n" for fault in faults))
        shim.write_text(SHIM.format(faults=shlex.quote(str(queue)), real=shlex.quote(real)))
        shim.chmod(0o755)


class LauncherContract:
    """What every launcher must do. Override the fixture `launcher`; the class variables may be too.

    For a batch system name its programs as well: then the tests of what happens when they hang, refuse or talk nonsense run, with
    small programs put in front of them on PATH.
    """

    #: The program that submits, and the one that lists; empty for a launcher that has none.
    submit_program: ClassVar[str] = ""
    list_program: ClassVar[str] = ""

    #: How long the system may take to start or to end a worker.
    patience_seconds: ClassVar[float] = 120.0
    #: What a worker is asked for.
    size: ClassVar[WorkerSize] = WorkerSize(cpus=1, memory_bytes=256 << 20, walltime_seconds=600)

    @pytest.fixture
    def launcher(self, tmp_path: Path) -> Launcher:
        """The launcher under test, made with `self.worker(tmp_path)` as its command."""
        raise NotImplementedError("override the fixture `launcher`")

    @staticmethod
    def worker(directory: Path) -> list[str]:
        """The command line of a small worker that does nothing; it may be started on any node."""
        script = directory / "worker.py"
        script.write_text(WORKER)
        return [sys.executable, str(script), str(directory)]

    @pytest.fixture
    def name(self, launcher: Launcher) -> Iterator[str]:
        """A name that nothing else has; all under it are cancelled afterwards."""
        name = f"jt-contract-{uuid.uuid4().hex[:6]}-1"
        yield name
        launcher.cancel(launcher.find(name))

    def test_it_is_available_and_describes_what_it_would_do(self, launcher: Launcher, name: str) -> None:
        assert launcher.available().usable, launcher.available().reason
        assert launcher.describe(name, 2, self.size).strip()
        assert launcher.find(name) == []

    def test_submitted_workers_start_and_are_polled_as_running(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        blocks = launcher.submit(name, 2, self.size)
        assert len(set(blocks)) == 2
        self.await_started(tmp_path, name, 2)
        self.await_state(launcher, blocks, BlockState.RUNNING)

    def test_workers_are_found_by_name_and_only_by_theirs(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        blocks = launcher.submit(name, 2, self.size)
        self.await_started(tmp_path, name, 2)
        assert launcher.find(name) == blocks, "in the order of their index"
        assert launcher.find(name + "1") == []
        assert launcher.find(name[:-2]) == []

    def test_cancelled_workers_end_and_the_others_go_on(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        blocks = launcher.submit(name, 2, self.size)
        self.await_started(tmp_path, name, 2)
        launcher.cancel(blocks[:1])
        self.await_ended(launcher, blocks[:1])
        assert launcher.find(name) in (blocks, blocks[1:]), "those that have ended too, while they are known"
        assert launcher.poll()[blocks[1]].state is BlockState.RUNNING

    def test_a_worker_that_ends_by_itself_is_seen_to_have_ended(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        blocks = launcher.submit(name, 1, self.size)
        self.await_started(tmp_path, name, 1)
        (tmp_path / f"{name}.stop").touch()
        self.await_ended(launcher, blocks)
        assert launcher.find(name) in (blocks, [])

    def test_ending_what_has_ended_is_no_error(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        blocks = launcher.submit(name, 1, self.size)
        self.await_started(tmp_path, name, 1)
        launcher.cancel(blocks)
        self.await_ended(launcher, blocks)
        launcher.cancel(blocks)
        launcher.cancel([])
        self.await_ended(launcher, blocks)

    def test_the_tail_shows_what_the_worker_printed_itself(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        (block,) = launcher.submit(name, 1, self.size)
        self.await_started(tmp_path, name, 1)
        self._await(lambda: f"worker 0 of {name}" in launcher.output_tail(block), "its output")

    # -- when the batch system's programs fail ----------------------------------------------------------------------

    @pytest.fixture
    def shims(self, launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shims:
        """Ways to make the programs fail; skips where a launcher has none."""
        if not self.submit_program:
            pytest.skip("this launcher runs no programs")
        monkeypatch.setattr(type(launcher), "timeout_seconds", 5.0, raising=False)
        return Shims(tmp_path / "shims", monkeypatch)

    @pytest.mark.parametrize("fault", ["hang", "garbage"])
    def test_what_was_taken_though_nobody_said_so_is_found_by_its_name(
        self, launcher: Launcher, name: str, tmp_path: Path, shims: Shims, fault: str
    ) -> None:
        shims.put(self.submit_program, fault)
        with pytest.raises(LauncherError) as caught:
            launcher.submit(name, 1, self.size)
        assert not isinstance(caught.value, (SubmitRefused, SubmitBusy)), "it is open whether it was taken"
        self._await(lambda: len(launcher.find(name)) == 1, "it to be found")
        self.await_started(tmp_path, name, 1)
        self.await_state(launcher, launcher.find(name), BlockState.RUNNING)

    def test_what_is_refused_is_told_in_the_systems_words_and_leaves_nothing(
        self, launcher: Launcher, name: str, shims: Shims
    ) -> None:
        shims.put(self.submit_program, "refuse")
        with pytest.raises(LauncherError, match="the contract test refuses this"):
            launcher.submit(name, 2, self.size)
        assert launcher.find(name) == []
        assert launcher.submit(name[:-1] + "2", 1, self.size)
        launcher.cancel(launcher.find(name[:-1] + "2"))

    @pytest.mark.parametrize("fault", ["hang", "garbage", "empty", "refuse"])
    def test_a_poll_that_fails_takes_nobody_for_gone(
        self, launcher: Launcher, name: str, tmp_path: Path, shims: Shims, fault: str
    ) -> None:
        blocks = launcher.submit(name, 2, self.size)
        self.await_started(tmp_path, name, 2)
        self.await_state(launcher, blocks, BlockState.RUNNING)
        shims.put(self.list_program, fault)
        try:
            polled = launcher.poll()
        except LauncherError:
            polled = {}
        assert not [block for block in blocks if block in polled and polled[block].state is BlockState.ENDED]
        self.await_state(launcher, blocks, BlockState.RUNNING)

    def await_started(self, directory: Path, name: str, n: int) -> None:
        """Until `n` workers of `name` have written their files."""
        self._await(lambda: len(list(directory.glob(f"{name}.*.started"))) == n, f"{n} workers to start")

    def await_state(self, launcher: Launcher, blocks: list[BlockId], state: BlockState) -> None:
        """Until a poll says so of all these blocks."""
        self._await(
            lambda: all(b in (polled := launcher.poll()) and polled[b].state is state for b in blocks),
            f"{state} of {blocks}",
        )

    def await_ended(self, launcher: Launcher, blocks: list[BlockId]) -> None:
        """Until a poll calls them ended, or (a batch system forgets) no longer names them."""

        def ended() -> bool:
            polled = launcher.poll()
            return all(b not in polled or polled[b].state is BlockState.ENDED for b in blocks)

        self._await(ended, f"the end of {blocks}")

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {self.patience_seconds:g} s for {what}"
            time.sleep(0.02)

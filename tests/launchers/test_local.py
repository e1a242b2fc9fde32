from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers import local
from jobtree.launchers.base import BlockState, Launcher, WorkerSize
from jobtree.launchers.local import LocalLauncher
from jobtree.launchers.testing import LauncherContract

SIZE = WorkerSize(cpus=1, memory_bytes=1 << 30)


def pid_of(block: str) -> int:
    return int(block.split(":")[1])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.01)


class TestLocalLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self, tmp_path: Path) -> Launcher:
        return LocalLauncher(self.worker(tmp_path), tmp_path)

    def test_each_worker_leads_its_own_session_and_reads_nothing(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        (block,) = launcher.submit(name, 1, self.size)
        pid = pid_of(block)
        assert os.getsid(pid) == pid != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        out = tmp_path / f"{name}.0.out"
        assert os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2") == str(out)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600

    def test_an_inheritable_descriptor_of_the_script_does_not_reach_a_worker(self, launcher: Launcher, name: str) -> None:
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        try:
            launcher.submit(name, 1, self.size)
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            assert pipe.read() == b""  # the end of file comes while the worker lives

    def test_a_later_master_sees_the_workers_and_can_cancel_them(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        blocks = launcher.submit(name, 2, self.size)
        later = LocalLauncher(["irrelevant"], tmp_path)
        assert later.find(name) == blocks
        assert {status.state for status in later.poll().values()} == {BlockState.RUNNING}
        later.cancel(blocks)
        assert {status.state for status in later.poll().values()} == {BlockState.ENDED}

    def test_workers_that_a_crash_kept_from_the_record_are_found_with_their_output(
        self, launcher: Launcher, name: str, tmp_path: Path
    ) -> None:
        blocks = launcher.submit(name, 2, self.size)
        self.await_started(tmp_path, name, 2)
        (tmp_path / f"{name}.json").unlink()
        later = LocalLauncher(["irrelevant"], tmp_path)
        assert sorted(later.find(name)) == sorted(blocks)
        assert set(later.poll()) == set(blocks)
        assert later.output_tail(blocks[1]) == f"worker 1 of {name}"

    def test_an_ended_child_is_reaped_and_says_how_it_ended(self, launcher: Launcher, name: str) -> None:
        blocks = launcher.submit(name, 1, self.size)
        os.kill(pid_of(blocks[0]), signal.SIGKILL)
        self.await_state(launcher, blocks, BlockState.ENDED)
        assert launcher.poll()[blocks[0]].reason == "killed by SIGKILL"
        assert not Path(f"/proc/{pid_of(blocks[0])}").exists()

    def test_a_second_submission_under_one_name_counts_on(self, launcher: Launcher, name: str, tmp_path: Path) -> None:
        first = launcher.submit(name, 1, self.size)
        second = launcher.submit(name, 1, self.size)
        self.await_started(tmp_path, name, 2)
        assert launcher.find(name) == first + second
        assert launcher.output_tail(second[0]) == f"worker 1 of {name}"


def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    launcher = LocalLauncher([sys.executable, "-c", program], tmp_path, LocalLauncher.Options(grace_seconds=0.3))
    (block,) = launcher.submit("jt-deaf", 1, SIZE)
    wait_for(lambda: launcher.output_tail(block) == "deaf")
    launcher.cancel([block])
    assert launcher.poll()[block].reason == "killed by SIGKILL"


def test_a_worker_that_dies_at_once_leaves_status_and_last_words(tmp_path: Path) -> None:
    launcher = LocalLauncher([sys.executable, "-c", "import sys; sys.exit('no such module')"], tmp_path)
    (block,) = launcher.submit("jt-dead", 1, SIZE)
    wait_for(lambda: launcher.poll()[block].state is BlockState.ENDED)
    assert launcher.poll()[block].reason == "exit status 1"
    assert launcher.output_tail(block) == "no such module"


def test_a_zombie_that_nobody_reaps_has_ended(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        wait_for(lambda: (fields := local._stat_fields(child.pid)) is not None and fields[0] == "Z")
        block = local._identity(child.pid)
        assert block is not None
        launcher = LocalLauncher([], tmp_path)
        launcher._record("jt-zombie", {block: 0})
        assert launcher.find("jt-zombie") == [block]
        assert launcher.poll()[block].state is BlockState.ENDED
    finally:
        child.wait()


@pytest.mark.parametrize("change", ["start", "boot"])
def test_a_stranger_with_the_pid_of_an_old_worker_is_neither_counted_nor_signalled(tmp_path: Path, change: str) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        block = local._identity(stranger.pid)
        assert block is not None
        kind, pid, start, boot = block.split(":")
        old = f"{kind}:{pid}:{int(start) - 1}:{boot}" if change == "start" else f"{kind}:{pid}:{start}:an-older-boot"
        launcher = LocalLauncher([], tmp_path)
        launcher._record("jt-old", {old: 0})
        assert launcher.poll()[old].state is BlockState.ENDED
        launcher.cancel([old, "nonsense"])
        assert local._signal([old], signal.SIGTERM) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_worker_that_cannot_be_started_is_an_error_with_its_command(tmp_path: Path) -> None:
    launcher = LocalLauncher(["/no/such/python", "worker"], tmp_path)
    with pytest.raises(LauncherError, match="/no/such/python worker --block jt-none --index 0") as caught:
        launcher.submit("jt-none", 1, SIZE)
    assert caught.value.status is None
    assert launcher.find("jt-none") == []


def test_found_are_all_in_the_order_of_their_index_with_those_that_have_ended(tmp_path: Path) -> None:
    launcher = LocalLauncher([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path)
    blocks = launcher.submit("jt-three", 3, SIZE)
    try:
        launcher.cancel(blocks[:1])
        later = LocalLauncher([], tmp_path)
        assert launcher.find("jt-three") == later.find("jt-three") == blocks
        launcher._record("jt-three", {blocks[0]: 0, blocks[2]: 2})
        wait_for(
            lambda: LocalLauncher([], tmp_path).find("jt-three") == blocks
        )  # what runs is found as soon as it is what it will be
    finally:
        launcher.cancel(blocks)


def test_trouble_with_its_own_files_is_an_error_of_the_launcher(tmp_path: Path) -> None:
    launcher = LocalLauncher([sys.executable, "-c", ""], tmp_path / "blocks")
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "jt-full.json.new").symlink_to("/dev/full")
    with pytest.raises(LauncherError, match="No space left"):
        launcher.submit("jt-full", 1, SIZE)
    (tmp_path / "blocks" / "jt-torn.json").write_bytes(b"\xff\xfe")
    for ask in (launcher.poll, lambda: launcher.find("jt-torn"), lambda: launcher.output_tail("local:1:2:3")):
        with pytest.raises(LauncherError, match=r"jt-torn\.json"):
            ask()
    with pytest.raises(LauncherError, match="a file"):
        LocalLauncher([], _file(tmp_path / "a file")).submit("jt-x", 1, SIZE)


def _file(path: Path) -> Path:
    path.touch()
    return path


def test_describe_names_every_command_line_and_starts_nothing(tmp_path: Path) -> None:
    text = LocalLauncher(["jobtree", "worker", "/t"], tmp_path).describe("jt-x", 2, SIZE)
    assert text.splitlines() == [
        "start 2 here, each with 1 cpus, 1G memory:",
        "jobtree worker /t --block jt-x --index 0",
        "jobtree worker /t --block jt-x --index 1",
    ]
    assert list(tmp_path.iterdir()) == []

"""The launchers of LSF and parasol against small programs that speak as the real ones were observed to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobtree.launchers.base import BlockState, Launcher, WorkerSize
from jobtree.launchers.lsf import LsfLauncher
from jobtree.launchers.parasol import ParasolLauncher
from jobtree.launchers.testing import LauncherContract
from tests.launchers import fakes


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a fake system whose programs are on PATH."""
    directory = tmp_path / "system"
    monkeypatch.setenv("PATH", f"{fakes.install(directory)}:/usr/bin:/bin")
    return directory


class TestLsf(LauncherContract):
    submit_program = "bsub"
    list_program = "bjobs"

    @pytest.fixture
    def launcher(self, tmp_path: Path, system: Path) -> Launcher:
        return LsfLauncher(self.worker(tmp_path), tmp_path)

    def test_an_older_version_without_json_is_understood_by_its_table(
        self, launcher: Launcher, name: str, tmp_path: Path, system: Path
    ) -> None:
        (system / "old").touch()
        blocks = launcher.submit(name, 2, self.size)
        self.await_started(tmp_path, name, 2)
        self.await_state(launcher, blocks, BlockState.RUNNING)


class TestParasol(LauncherContract):
    submit_program = "parasol"
    list_program = "parasol"

    @pytest.fixture
    def launcher(self, tmp_path: Path, system: Path) -> Launcher:
        return ParasolLauncher(self.worker(tmp_path), tmp_path)

    def test_those_that_were_taken_before_one_was_refused_are_kept(
        self, launcher: Launcher, name: str, tmp_path: Path, shims: object
    ) -> None:
        shims.put("parasol", "fine", "refuse")  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="refuses this"):
            launcher.submit(name, 3, self.size)
        assert len(launcher.find(name)) == 1
        self.await_started(tmp_path, name, 1)


def test_lsf_divides_memory_where_the_site_reserves_it_per_slot(tmp_path: Path, system: Path) -> None:
    size = WorkerSize(cpus=4, memory_bytes=(4 << 30) - (512 << 20))
    whole = LsfLauncher(["worker"], tmp_path).describe("jt-a", 1, size)
    assert "rusage[mem=4096MB]" in whole
    (system / "per_task").touch()
    share = LsfLauncher(["worker"], tmp_path).describe("jt-a", 1, size)
    assert "rusage[mem=1024MB]" in share
    assert "select[mem>4096MB]" in share
    kilobytes = LsfLauncher(["worker"], tmp_path, LsfLauncher.Options(units="KB", memory_per="job")).describe("jt-a", 1, size)
    assert f"rusage[mem={4 << 20}]" in kilobytes


def test_a_dry_run_prints_what_would_be_submitted_and_makes_nothing(tmp_path: Path, system: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import jobtree\nif __name__ == '__main__':\n    jobtree.main(jobtree.call(sum, [1]))\n")
    words = [
        sys.executable,
        script.name,
        "--dry-run",
        "--launcher",
        "lsf",
        "--workers",
        "3:9",
        "--queue",
        "long",
        "--worker-time",
        "2h",
    ]
    around = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(words, cwd=tmp_path, env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--workers 3:9    (command line)" in done.stdout
    assert "bsub -J 'jt-script-RUN-1[1-3]'" in done.stdout
    assert "-W 120 -q long" in done.stdout
    assert "18 cpu hours" in done.stdout
    assert f"{tmp_path}/jobTree/blocks" in done.stdout
    assert not (tmp_path / "jobTree").exists()
    assert not (system / "queue.json").exists() or '"jobs": {}' in (system / "queue.json").read_text()

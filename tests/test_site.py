"""What administrators allow, and how modest local workers are where many people share a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree import _pool, _site, options
from jobtree.errors import UsageError
from jobtree.options import Options

G = 1 << 30


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "etc.toml"
    monkeypatch.setattr(options, "SITE_CONFIG", path)
    return path


def pools(tmp_path: Path, **told: object) -> tuple[list[_pool.Pool], list[str]]:
    said: list[str] = []
    return _pool.make_pools(Options.merged(None, **told), tmp_path, tmp_path, said.append), said


def test_no_user_can_have_more_workers_than_the_site_allows(etc: Path, tmp_path: Path) -> None:
    etc.write_text("[site]\nmax_workers = 20\nmin-poll = '2m'\n")
    (usual,), said = pools(tmp_path, launcher="slurm", worker_time=60)
    assert (usual.most, said) == (20, []), "what nobody asked for needs no words"
    assert usual.poll_seconds == 120.0
    (many,), said = pools(tmp_path, launcher="slurm", workers="0:500", worker_time=60)
    assert (many.most, said) == (20, ["this site allows 20 workers; 500 were asked for"])
    with pytest.raises(UsageError, match="--workers 30:40: this site allows 20 workers"):
        pools(tmp_path, launcher="slurm", workers="30:40", worker_time=60)


def test_a_launcher_that_is_not_allowed_is_refused_even_in_a_further_pool(etc: Path, tmp_path: Path) -> None:
    etc.write_text('[site]\nlaunchers = ["local"]\n')
    assert len(pools(tmp_path)[0]) == 1
    for told in ({"launcher": "slurm"}, {"pool": "name=big,launcher=slurm"}):
        with pytest.raises(UsageError, match=r"the launcher slurm is not allowed here .*; allowed: local"):
            pools(tmp_path, **told)


def test_only_etc_may_say_what_the_site_allows(etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    etc.write_text("workers = 3\n[site]\nmax_workers = 20\n")
    assert Options.merged().workers == (None, 3)
    Path("jobtree.toml").write_text("[site]\nmax_workers = 2000\n")
    with pytest.raises(UsageError, match="unknown key 'site'"):
        Options.merged()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[site]\nmax_worker = 3", "has no 'max_worker'; it has max_workers"),
        ("[site]\nmax_workers = 'x'", "max_workers: 'x' is not a whole number"),
        ("[site]\nlaunchers = 'local'", "is not a list of names"),
        ("site = 3", "must be a table"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_one_line(etc: Path, text: str, words: str) -> None:
    etc.write_text(text)
    with pytest.raises(UsageError, match=words):
        _site.site()


def test_pools_on_one_batch_system_share_its_polls(etc: Path, tmp_path: Path) -> None:
    found, _ = pools(tmp_path, launcher="slurm", worker_time=60, pool=["name=a", "name=b,launcher=local,max=1"])
    assert [pool.poll_seconds for pool in found][:2] == [60.0, 60.0]
    assert not found[2].on_cluster


def test_where_nobody_says_what_a_worker_has_the_pool_is_elastic(etc: Path, tmp_path: Path) -> None:
    (elastic,), _ = pools(tmp_path, launcher="slurm", worker_time=60, max_memory="64G")
    assert elastic.plan.elastic
    assert elastic.plan.largest_size.memory == 64 * G
    assert not pools(tmp_path, launcher="slurm", worker_time=60, worker_memory="4G")[0][0].plan.elastic


def test_local_workers_are_modest_on_a_login_node(etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(_pool, "_usable_memory", lambda: 512 * G)
    monkeypatch.setenv("JOBTREE_LOGIN_NODE", "yes")
    (pool,), said = pools(tmp_path)
    assert (pool.size.cpus, pool.size.memory_bytes) == (2.0, 4 * G)
    assert pool.launcher.describe("x", 1, pool.size).splitlines()[1].startswith("nice -n 10 ")
    limits = "2 cpus and 4G in all, at nice 10; --max-cpus and --max-memory say otherwise"
    assert said == [f"this looks like a login node: local workers take {limits}"]
    (pool,), said = pools(tmp_path, max_cpus=32)
    assert (pool.size.cpus, said) == (32.0, [])
    assert pool.command[0] != "nice"


def test_a_login_node_is_where_jobs_can_be_submitted_and_we_are_in_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBTREE_LOGIN_NODE", raising=False)
    for name in _site.IN_A_JOB:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not _site.is_login_node()
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    assert _site.is_login_node()
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert not _site.is_login_node()


def test_inside_a_job_local_workers_have_its_slots(etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setenv("JOB_ID", "1")
    monkeypatch.setenv("NSLOTS", "6")
    assert pools(tmp_path)[0][0].size.cpus == 6.0

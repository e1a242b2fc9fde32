"""Further pools as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree._pool_words import read_all
from jobtree.errors import UsageError
from jobtree.options import Options


def test_a_line_describes_a_pool() -> None:
    (pool,) = read_all(Options(pool="name=big,memory=256G,cpus=32,max=4,queue=himem,args=-l scratch=10G,slurm-qos=long").pool)
    assert (pool.name, pool.memory, pool.cpus, pool.workers, pool.queue) == ("big", 256 << 30, 32.0, (0, 4), "himem")
    assert pool.args == ("-l", "scratch=10G")
    assert dict(pool.settings) == {"slurm_qos": "long"}


def test_tables_of_a_file_describe_pools_and_lines_win_over_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobtree.toml").write_text('[[pool]]\nname = "big"\nmemory = "256G"\n[[pool]]\nname = "gpu"\ngpus = 2\n')
    assert [(pool.name, pool.memory, pool.gpus) for pool in read_all(Options.merged().pool)] == [
        ("big", 256 << 30, 0),
        ("gpu", None, 2),
    ]
    assert [pool.name for pool in read_all(Options.merged(pool=["name=a", "name=b,max=3"]).pool)] == ["a", "b"]


def test_a_tree_remembers_its_pools() -> None:
    options = Options(pool=("name=a,memory=1G",))
    assert Options.from_wire(options.to_wire()).pool == options.pool


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("big", "'big' is not KEY=VALUE"),
        ("memory=1G", "a pool needs a name"),
        ("name=../x", "a pool needs a name of letters"),
        ("name=a,memroy=1G", "a pool has no 'memroy'; it has name, launcher"),
        ("name=a,memory=lots", "pool: memory"),
        ("name=a,min=3,max=2", "cannot have at least 3 and at most 2"),
        ("name=a,retries=3", "a pool has no 'retries'"),
        (["name=a", "name=a"], "two pools called 'a'"),
        (7, "neither a line nor a table"),
    ],
)
def test_what_describes_no_pool_is_refused_in_one_line(line: object, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        Options(pool=line)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)

"""`jobtree.run` and its kin, called in this very process: what they take, give and refuse."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

import jobtree
from jobtree import _context
from jobtree.errors import Interrupted, TargetsFailed, TreeLocked, TreeMismatch, UsageError


def double(x: int) -> int:
    return 2 * x


def fail(words: str) -> None:
    raise ValueError(words)


def run(target: object, tree: Path, **options: object) -> object:
    return jobtree.run(target, tree=tree, progress="none", **options)  # type: ignore[call-overload]


def test_a_run_returns_the_root_s_result_and_a_complete_tree_gives_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(jobtree.call(double, 4), tmp_path / "T") == 8
    capsys.readouterr()
    assert run(jobtree.call(double, 4), tmp_path / "T") == 8
    assert "is complete; this is its stored result (--fresh runs it anew)" in capsys.readouterr().err
    assert jobtree.restart(tmp_path / "T") == 8


def test_options_may_be_an_object_and_keywords_win(tmp_path: Path) -> None:
    options = jobtree.Options(tree=tmp_path / "elsewhere", progress="none", default_memory="256M")  # type: ignore[arg-type]
    assert jobtree.run(jobtree.call(double, 4), options, tree=tmp_path / "T") == 8
    assert (tmp_path / "T").is_dir()
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_may_be_made_by_another_thread(tmp_path: Path) -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(run(jobtree.call(double, 4), tmp_path / "T")))
    thread.start()
    thread.join()
    assert results == [8]


def test_what_failed_is_raised_with_the_remote_exception_as_its_cause(tmp_path: Path) -> None:
    with pytest.raises(TargetsFailed) as caught:
        run(jobtree.call(fail, "on purpose"), tmp_path / "T")
    failed = caught.value
    assert isinstance(failed.__cause__, ValueError)
    assert str(failed.__cause__) == "on purpose"
    assert [(f.name, f.id, f.attempts, f.cause) for f in failed.failures] == [("fail", 1, 1, "exception")]
    assert failed.failures[:5][0].message == "ValueError: on purpose"
    assert failed.tree == str(tmp_path / "T")
    with pytest.raises(TargetsFailed):
        jobtree.restart(tmp_path / "T", progress="none")


def test_another_root_is_a_mismatch_and_fresh_moves_the_tree_away(tmp_path: Path) -> None:
    tree = tmp_path / "T"
    run(jobtree.call(double, 1), tree)
    with pytest.raises(TreeMismatch, match="holds another run"):
        run(jobtree.call(double, 2), tree)
    with pytest.raises(TreeMismatch):
        run(jobtree.call(fail, "1"), tree)
    assert run(jobtree.call(double, 2), tree, fresh=True) == 4
    assert run(jobtree.call(double, 3), tree, fresh=True) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["T", "T.1", "T.2"]
    assert jobtree.restart(tmp_path / "T.1") == 2


def test_a_tree_that_is_held_is_locked_for_all_others_until_it_is_let_go(tmp_path: Path) -> None:
    from jobtree import _opening

    opened = _opening.open_tree(tmp_path / "T", create=True)
    with pytest.raises(TreeLocked):
        run(jobtree.call(double, 1), tmp_path / "T")
    opened.close()
    assert run(jobtree.call(double, 1), tmp_path / "T") == 2


@pytest.mark.parametrize("nothing", [None, 5, double, jobtree.Target, [1]])
def test_what_is_no_target_is_refused(tmp_path: Path, nothing: object) -> None:
    with pytest.raises(UsageError, match="target"):
        run(nothing, tmp_path / "T")
    assert not (tmp_path / "T").exists()


def test_a_root_that_holds_a_promise_is_refused(tmp_path: Path) -> None:
    from jobtree.ids import PromiseKey

    with pytest.raises(UsageError, match="only a running target can make"):
        run(jobtree.call(double, jobtree.Promise[int](PromiseKey(1, 1, 1)).value), tmp_path / "T")
    assert not (tmp_path / "T").exists()


def test_a_run_inside_a_runner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_context, "_in_runner", True)
    for attempt in (lambda: run(jobtree.call(double, 1), tmp_path / "T"), lambda: jobtree.restart(tmp_path / "T")):
        with pytest.raises(UsageError, match='if __name__ == "__main__"'):
            attempt()


def test_restart_wants_a_tree_that_has_begun(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        jobtree.restart(tmp_path / "T")
    (tmp_path / "T").mkdir()
    with pytest.raises(UsageError, match="is not a jobtree tree"):
        jobtree.restart(tmp_path / "T")


def test_map_keeps_the_order(tmp_path: Path) -> None:
    assert jobtree.map(double, range(20), tree=tmp_path / "T", progress="none") == [2 * x for x in range(20)]


def test_the_umask_and_directory_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    import os

    before = os.getcwd(), os.umask(0o022)
    try:
        run(jobtree.call(double, 1), tmp_path / "T")
        assert (os.getcwd(), os.umask(0o022)) == (before[0], 0o022)
    finally:
        os.umask(before[1])


def test_main_ends_with_a_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["prog", "21", "--tree", str(tmp_path / "T"), "--progress", "none"])
    with pytest.raises(SystemExit) as ended:
        jobtree.main(double)
    assert ended.value.code == 0
    assert capsys.readouterr().out == "42\n"
    monkeypatch.setattr("sys.argv", ["prog", "22", "--tree", str(tmp_path / "T")])
    with pytest.raises(SystemExit) as ended:
        jobtree.main(double)
    assert ended.value.code == 2
    assert "holds another run" in capsys.readouterr().err


def test_the_masters_log_is_appended_to_a_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    assert run(jobtree.call(double, 1), tmp_path / "T", log_file=log) == 2
    first, *_, last = log.read_text().splitlines()
    assert first == "before"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO complete after .*1 target", last)


def test_a_log_file_that_can_not_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--log-file .*none/log can't be opened: No such file"):
        run(jobtree.call(double, 1), tmp_path / "T", log_file=tmp_path / "none" / "log")


def test_an_interruption_knows_its_exit_status() -> None:
    assert Interrupted("stopped").exit_status == 130
    assert Interrupted("stopped", 143).exit_status == 143

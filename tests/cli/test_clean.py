"""`jobtree clean` removes a tree, all of it, and nothing but it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobtree.cli.clean import remove_tree
from jobtree.cli.main import main
from tests.views.scribe import Scribe, whole_run


def fill(tree: Path) -> None:
    """All that a run may leave behind, beside its journal."""
    for name in ("blobs/ab", "blobs/code", "tmp/01/1-1.1", "logs", "blocks"):
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name / "file").write_text("text")
    for name in ("connection", "server.key", "connection.123.tmp"):
        (tree / name).write_text("secret")


def test_a_tree_is_gone_with_all_that_it_has(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    fill(tmp_path / "tree")
    assert main(["clean", str(tmp_path / "tree") + "/"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_else_has_put_there_is_kept_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_run(tmp_path / "tree")
    (tmp_path / "tree" / "thesis.tex").write_text("precious")
    assert main(["clean", str(tmp_path / "tree")]) == 0
    assert "thesis.tex" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["thesis.tex"]


def test_a_running_tree_is_refused_with_5_and_untouched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    before = sorted(tmp_path.rglob("*"))
    assert main(["clean", str(tmp_path / "tree")]) == 5
    assert "is held by pid" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    scribe.close()
    assert main(["clean", str(tmp_path / "tree")]) == 0


@pytest.mark.parametrize("make", ["empty", "full", "file"])
def test_a_directory_that_is_no_tree_is_refused_with_2_and_untouched(tmp_path: Path, make: str) -> None:
    other = tmp_path / "other"
    if make == "file":
        other.write_text("text")
    else:
        other.mkdir()
    if make == "full":
        (other / "journal").mkdir()
        (other / "journal" / "dear diary").write_text("text")
    before = sorted(tmp_path.rglob("*"))
    assert main(["clean", str(other)]) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_no_link_is_followed(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    fill(tmp_path / "tree")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("text")
    (tmp_path / "tree" / "tmp" / "01" / "link").symlink_to(outside)
    (tmp_path / "tree" / "blobs" / "ab" / "link").symlink_to(outside / "precious")
    (tmp_path / "tree" / "journal" / "link").symlink_to(outside)
    os.rename(tmp_path / "tree" / "logs", tmp_path / "elsewhere")
    (tmp_path / "tree" / "logs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "by another name").symlink_to(tmp_path / "tree")
    assert main(["clean", str(tmp_path / "by another name")]) == 2
    assert (tmp_path / "tree" / "journal").exists()
    assert main(["clean", str(tmp_path / "tree")]) == 0
    assert not (tmp_path / "tree").exists()
    assert (outside / "precious").read_text() == "text"
    assert (tmp_path / "elsewhere" / "file").exists()


def test_a_clean_that_was_killed_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of removals after which it is killed, what is left is a tree, or nothing."""
    for after in range(1, 30):
        tree = tmp_path / f"tree{after}"
        whole_run(tree)
        fill(tree)
        with monkeypatch.context() as patch:
            if not _killed(patch, str(tree), after):
                break
        if any(tree.iterdir()):
            remove_tree(str(tree))
            assert not tree.exists()
    assert after > 10


def _killed(patch: pytest.MonkeyPatch, tree: str, after: int) -> bool:
    """Remove a tree and be killed at one of the removals; False: there were not so many."""
    left = [after]

    class Killed(BaseException):
        pass

    def counted(action: object) -> object:
        def act(*args: object, **keywords: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return action(*args, **keywords)  # type: ignore[operator]

        return act

    for name in ("unlink", "rmdir"):
        patch.setattr(os, name, counted(getattr(os, name)))
    try:
        remove_tree(tree)
    except Killed:
        return True
    return False

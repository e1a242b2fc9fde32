"""Command lines from annotations."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

import jobtree
from jobtree._arguments import make_root, parser_for
from jobtree.errors import UsageError


def plain(a: int, b: float = 1.5, *, c: str, d: bool = False, e: Path | None = None) -> tuple[object, ...]:
    """What plain is for."""
    return (a, b, c, d, e)


@jobtree.target
def running(target, a: int, rest="x"):  # type: ignore[no-untyped-def]
    return (target.name, a, rest)


class Made(jobtree.Target[object]):
    def __init__(self, path: Path, n: int = 3) -> None:
        super().__init__()
        self.path, self.n = path, n

    def run(self) -> object:
        return (self.path, self.n)


def several(first: int, *rest: int, scale: int = 1) -> list[int]:
    return [scale * x for x in (first, *rest)]


def outcome(target: object, *words: str) -> object:
    return jobtree.run(make_root(target, parser_for(target).parse_args(words)), inline=True)


def test_parameters_are_arguments_and_those_with_defaults_options() -> None:
    assert outcome(plain, "3", "--c", "x") == (3, 1.5, "x", False, None)
    assert outcome(plain, "3", "--b", "2", "--c", "x", "--d", "--e", "p") == (3, 2.0, "x", True, Path("p"))
    assert outcome(plain, "3", "--c", "x", "--no-d") == (3, 1.5, "x", False, None)


def test_the_running_target_is_no_argument() -> None:
    assert outcome(running, "3") == ("running", 3, "x")
    assert outcome(running, "3", "--rest", "y") == ("running", 3, "y")


def test_a_class_is_made_with_its_arguments() -> None:
    assert outcome(Made, "a/b", "--n", "4") == (Path("a/b"), 4)


def test_any_number_of_arguments_may_follow() -> None:
    assert outcome(several, "1") == [1]
    assert outcome(several, "1", "2", "3", "--scale", "2") == [2, 4, 6]


def test_a_target_that_is_made_already_has_no_arguments() -> None:
    assert outcome(Made(Path("x"))) == (Path("x"), 3)


@pytest.mark.parametrize("words", [[], ["x", "--c", "y"], ["1"], ["1", "2", "--c", "x"]])
def test_what_does_not_fit_is_argparse_s_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser_for(plain).parse_args(words)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_help_is_the_docstring() -> None:
    assert "What plain is for." in parser_for(plain).format_help()


@pytest.mark.parametrize("nothing", [5, int, "words"])
def test_what_can_be_no_root_is_refused(nothing: object) -> None:
    with pytest.raises(UsageError, match="takes a target or a function"):
        parser_for(nothing)


def test_a_parser_of_the_script_s_own_may_leave_arguments_out() -> None:
    assert jobtree.run(make_root(several, argparse.Namespace(first=2)), inline=True) == [2]

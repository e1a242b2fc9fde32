"""A tree run in this process has the meaning of one that workers run."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import jobtree
from jobtree import Cancelled, Cause, Failure, Promise, Target, TargetsFailed, UsageError
from jobtree._inline import run_inline

STORY: list[str] = []


@pytest.fixture(autouse=True)
def _empty_story() -> None:
    STORY.clear()


@jobtree.target
def say(word: str) -> str:
    STORY.append(word)
    return word


@jobtree.target
def fail(word: str) -> str:
    STORY.append(word)
    raise ValueError(word)


@jobtree.target
def join(parts: list[Any]) -> str:
    STORY.append("join")
    return "+".join(str(part) for part in parts)


@jobtree.target
def keep(value: Any) -> Any:
    return value


@dataclass
class Story(Target[None]):
    """Says its name, and adds what it is told to."""

    word: str
    children: tuple[Target[Any], ...] = ()
    then: Target[Any] | None = None

    def run(self) -> None:
        STORY.append(self.word)
        self.add_children(self.children)
        if self.then is not None:
            self.set_follow_on(self.then)


def test_children_start_after_their_parent_and_the_follow_on_after_the_whole_subtree() -> None:
    deep = Story("B", (Story("B1", then=Story("B1'")),), then=Story("B'"))
    run_inline(Story("A", (deep, Story("C")), then=Story("A'", (Story("D"),), then=Story("A''"))))
    assert STORY == ["A", "B", "B1", "B1'", "B'", "C", "A'", "D", "A''"]


def test_children_wait_for_the_end_of_run() -> None:
    @jobtree.target
    def parent(target: Target[None]) -> None:
        target.add_child(say("child"))
        STORY.append("end of parent")

    run_inline(parent())
    assert STORY == ["end of parent", "child"]


def test_a_promise_is_replaced_by_the_result_wherever_it_is_found() -> None:
    @dataclass
    class Box:
        content: Any

    @jobtree.target
    def parent(target: Target[Any]) -> Promise[Any]:
        a, b = target.add_child(say("a")), target.add_child(say("b"))
        seen = target.add_child(keep({"list": [a, (b,)], "box": Box(a), "closure": lambda: b}))
        return target.set_follow_on(jobtree.call(unpack, seen.value))

    def unpack(seen: dict[str, Any]) -> list[Any]:
        return [seen["list"], seen["box"].content, seen["closure"]()]

    assert run_inline(parent()) == [["a", ("b",)], "a", "b"]


def test_a_returned_promise_passes_the_result_on_through_many_levels() -> None:
    @jobtree.target
    def down(target: Target[str], level: int) -> Any:
        return target.add_child(down(level - 1)) if level else "bottom"

    assert run_inline(down(50)) == "bottom"


def test_promises_inside_a_returned_value_are_kept_too() -> None:
    @jobtree.target
    def parent(target: Target[Any]) -> Any:
        return {"a": target.add_child(say("a")), "rest": [target.set_follow_on(say("f"))]}

    @jobtree.target
    def grandparent(target: Target[Any]) -> Any:
        inner = target.add_child(parent())
        return [inner, target.set_follow_on(keep(inner))]

    assert run_inline(grandparent()) == [{"a": "a", "rest": ["f"]}] * 2


def test_a_promise_of_a_target_with_a_follow_on_waits_for_the_end_of_its_chain() -> None:
    @jobtree.target
    def chained(target: Target[str]) -> str:
        target.set_follow_on(say("second"))
        return "first"

    @jobtree.target
    def parent(target: Target[str]) -> Promise[str]:
        return target.add_child(join([target.add_child(chained())]))

    assert run_inline(parent()) == "first"
    assert STORY == ["second", "join"]


def test_after_orders_siblings_without_passing_a_value() -> None:
    @jobtree.target
    def parent(target: Target[None]) -> None:
        slow = target.add_child(Story("slow", (say("below"),)))
        target.add_child(say("other"))
        target.add_child(say("last"), after=[slow])

    run_inline(parent())
    assert STORY.index("last") > STORY.index("below") > STORY.index("slow")
    assert sorted(STORY) == ["below", "last", "other", "slow"]


def test_what_is_changed_after_adding_is_not_seen() -> None:
    @jobtree.target
    def parent(target: Target[Any]) -> Promise[Any]:
        things = ["before"]
        child = target.add_child(keep(things))
        things.append("after")
        return child

    assert run_inline(parent()) == ["before"]


def test_a_failure_leaves_siblings_alone_and_stops_the_follow_ons_of_its_ancestors() -> None:
    middle = Story("middle", (fail("bad"), say("sibling")), then=say("never"))
    with pytest.raises(TargetsFailed) as caught:
        run_inline(Story("root", (middle, say("cousin")), then=say("never either")))
    assert STORY == ["root", "middle", "bad", "sibling", "cousin"]
    [failure] = caught.value.failures
    assert (failure.name, failure.cause, failure.attempts) == ("fail", Cause.EXCEPTION, 1)
    assert failure.message == "ValueError: bad"
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__.__traceback__ is not None
    assert "1 target failed" in str(caught.value)
    assert "fail:" in str(caught.value)


def test_a_target_that_takes_the_result_of_a_failed_one_never_runs_and_is_not_counted() -> None:
    @jobtree.target
    def parent(target: Target[None]) -> None:
        target.add_child(join([target.add_child(fail("bad"))]))

    with pytest.raises(TargetsFailed) as caught:
        run_inline(parent())
    assert STORY == ["bad"]
    assert [failure.name for failure in caught.value.failures] == ["fail"]


def test_a_child_that_is_allowed_to_fail_becomes_a_failure_value() -> None:
    @jobtree.target
    def subtree(target: Target[None]) -> None:
        target.add_child(fail("deep"))
        target.set_follow_on(say("never"))

    @jobtree.target
    def parent(target: Target[Any]) -> Promise[Any]:
        bad = target.add_child(subtree(), allow_failure=True)
        target.add_child(keep(bad))
        return target.set_follow_on(keep([bad, target.add_child(say("good"))]))

    failure, good = run_inline(parent())
    assert isinstance(failure, Failure)
    assert not failure
    assert (failure.name, failure.cause) == ("fail", "exception")
    assert good == "good"
    assert STORY == ["deep", "good"]


def test_keep_going_allows_only_the_roots_children_to_fail() -> None:
    run_inline(Story("root", (fail("a"), say("b")), then=say("end")), keep_going=True)
    assert STORY == ["root", "a", "b", "end"]
    STORY.clear()
    with pytest.raises(TargetsFailed):
        run_inline(fail("root"), keep_going=True)


def test_keep_going_allows_the_children_of_the_roots_follow_ons_to_fail_too() -> None:
    last = Story("second", (fail("b"),), then=say("end"))
    run_inline(Story("root", (fail("a"),), then=Story("first", then=last)), keep_going=True)
    assert STORY == ["root", "a", "first", "second", "b", "end"]
    with pytest.raises(TargetsFailed):
        run_inline(
            Story("root", then=Story("first", (Story("child", (fail("deep"),), then=say("x")),), then=fail("last"))),
            keep_going=True,
        )


def test_fail_fast_stops_at_the_first_failure() -> None:
    with pytest.raises(TargetsFailed):
        run_inline(Story("root", (say("a"), fail("b"), say("c"))), fail_fast=True)
    assert STORY == ["root", "a", "b"]


class Flaky(Target[int], retries=2):
    def run(self) -> int:
        STORY.append(f"try {self.attempt}")
        self.add_child(say(f"child of {self.attempt}"))
        if self.attempt < 3:
            raise OSError(self.attempt)
        return int(self.attempt)


def test_a_target_is_tried_again_and_its_failed_attempts_leave_nothing() -> None:
    assert run_inline(Flaky()) == 3
    assert STORY == ["try 1", "try 2", "try 3", "child of 3"]


def test_only_what_retry_on_names_is_tried_again() -> None:
    with pytest.raises(TargetsFailed):
        run_inline(Flaky().needs(retry_on=[KeyError, "exit"]))
    assert STORY == ["try 1"]
    assert run_inline(Flaky().needs(retry_on=OSError)) == 3


def test_retries_of_the_run_are_for_targets_that_do_not_say() -> None:
    with pytest.raises(TargetsFailed) as caught:
        run_inline(fail("x"), retries=3)
    assert STORY == ["x"] * 4
    assert caught.value.failures[0].attempts == 4
    STORY.clear()
    with pytest.raises(TargetsFailed):
        run_inline(fail("x").needs(retries=0), retries=3)
    assert STORY == ["x"]


def test_sys_exit_is_a_failure_and_a_keyboard_interrupt_passes_through() -> None:
    with pytest.raises(TargetsFailed) as caught:
        run_inline(jobtree.call(sys.exit, 0))
    assert isinstance(caught.value.__cause__, SystemExit)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_inline(jobtree.call(interrupt))


def test_a_follow_on_chain_shares_its_global_temp_dir_and_each_attempt_has_its_own_local_one() -> None:
    @jobtree.target
    def first(target: Target[Any]) -> Promise[Any]:
        (target.global_temp_dir / "data").write_text("from first")
        (target.local_temp_dir / "scratch").write_text("")
        child = target.add_child(look(target.global_temp_dir, target.local_temp_dir))
        return target.set_follow_on(second(child.value))

    @jobtree.target
    def look(target: Target[Any], parents: Path, local: Path) -> tuple[str, bool, Path]:
        assert target.global_temp_dir != parents
        return (parents / "data").read_text(), local.exists(), target.global_temp_dir

    @jobtree.target
    def second(target: Target[Any], seen: tuple[str, bool, Path]) -> Any:
        text, local_was_there, childs = seen
        assert not childs.exists()
        assert list(target.local_temp_dir.iterdir()) == []
        return text, local_was_there, (target.global_temp_dir / "data").read_text(), target.global_temp_dir

    text, local_was_there, again, path = run_inline(first())
    assert (text, local_was_there, again) == ("from first", False, "from first")
    assert not path.exists()


def test_a_founder_that_is_tried_again_gets_a_fresh_global_temp_dir() -> None:
    @jobtree.target(retries=1)
    def founder(target: Target[Any]) -> list[str]:
        found = [path.name for path in target.global_temp_dir.iterdir()]
        (target.global_temp_dir / "left").touch()
        if target.attempt == 1:
            raise ValueError
        return found

    assert run_inline(founder()) == []


def test_a_follow_on_that_is_tried_again_finds_what_its_chain_left() -> None:
    @jobtree.target
    def founder(target: Target[Any]) -> Promise[Any]:
        (target.global_temp_dir / "left").touch()
        return target.set_follow_on(again())

    @jobtree.target(retries=1)
    def again(target: Target[Any]) -> list[str]:
        found = sorted(path.name for path in target.global_temp_dir.iterdir())
        (target.global_temp_dir / "second").touch()
        if target.attempt == 1:
            raise ValueError
        return found

    assert run_inline(founder()) == ["left", "second"]


def test_the_working_directory_is_restored_after_each_target(tmp_path: Path) -> None:
    @jobtree.target
    def parent(target: Target[None]) -> None:
        os.chdir(tmp_path)
        target.add_child(jobtree.call(note))

    def note() -> None:
        STORY.append(os.getcwd())

    before = os.getcwd()
    run_inline(parent())
    assert [before] == STORY


def test_a_cancelled_child_does_not_run_and_its_promise_becomes_a_falsy_value() -> None:
    @jobtree.target
    def parent(target: Target[Any]) -> Promise[Any]:
        child = target.add_child(say("never"))
        target.cancel(child)
        return target.set_follow_on(keep(child))

    cancelled = run_inline(parent())
    assert cancelled == Cancelled("say")
    assert not cancelled
    assert STORY == []


def test_a_chain_of_twenty_thousand_follow_ons_works() -> None:
    @jobtree.target
    def step(target: Target[Any], left: int) -> Any:
        return target.set_follow_on(step(left - 1)) if left else "end"

    assert run_inline(step(20_000)) == "end"


def test_recursion_five_thousand_deep_works_with_results_inside_results() -> None:
    @jobtree.target
    def down(target: Target[Any], left: int) -> Any:
        return [target.add_child(down(left - 1))] if left else []

    nested, depth = run_inline(down(5_000)), 0
    while nested:
        [nested] = nested
        depth += 1
    assert depth == 5_000


def test_a_target_made_and_never_added_gives_a_warning_with_file_and_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @jobtree.target
    def parent(target: Target[None]) -> None:
        say("forgotten")
        target.add_child(Story("outer", (say("carried"),)))

    run_inline(parent())
    [warning] = capsys.readouterr().err.splitlines()
    assert warning.startswith("WARNING ")
    assert f"{__file__}:" in warning
    assert "say was made and never added" in warning


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda target: say("x"), "return target.add_child(...)"),
        (lambda target: [target.set_follow_on(say(x)) for x in "xy"], "has a follow-on already"),
        (lambda target: target.add_child(keep(target.set_follow_on(say("x")))), "keep -> follow-on -> keep"),
        (lambda target: target.add_child(say), "is to be called: say(...)"),
        (lambda target: target.add_child(Story), "is a class"),
        (lambda target: target.add_child(3), "int is not a target"),
        (lambda target: target.add_child(say("x"), after=["x"]), "str is not a promise"),
    ],
)
def test_misuse_fails_the_target_with_words_that_help(misuse: Any, words: str) -> None:
    @jobtree.target
    def parent(target):  # type: ignore[no-untyped-def]
        return misuse(target)

    with pytest.raises(TargetsFailed) as caught:
        run_inline(parent())
    assert words in caught.value.failures[0].message


def test_a_target_may_only_be_used_while_it_runs() -> None:
    target = Story("x")
    with pytest.raises(UsageError, match="not running"):
        target.add_child(say("y"))
    with pytest.raises(UsageError, match="no target is running"):
        jobtree.current_target()


def test_a_run_inside_a_target_is_a_run_of_its_own() -> None:
    @jobtree.target
    def outer(target: Target[Any]) -> Any:
        inner = run_inline(join([1, 2]))
        assert jobtree.current_target() is target
        return inner, target.add_child(say("child"))

    assert run_inline(outer()) == ("1+2", "child")


def test_nothing_is_left_in_the_temporary_directory_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    @jobtree.target
    def parent(target: Target[None]) -> None:
        target.global_temp_dir.joinpath("x").touch()
        target.add_child(fail_with_temp())

    @jobtree.target
    def fail_with_temp(target: Target[None]) -> None:
        assert target.local_temp_dir.is_dir()
        raise ValueError

    with pytest.raises(TargetsFailed):
        run_inline(parent())
    assert list(tmp_path.iterdir()) == []


def test_a_program_runs_and_its_output_is_there_only_after_success(tmp_path: Path) -> None:
    made = tmp_path / "made"
    result = run_inline(jobtree.command("echo b; echo a | cat", stdout=made, cwd=tmp_path, outputs=["made"]))
    assert made.read_text() == "b\na\n"
    assert result.stdout == made
    assert result.outputs == (made,)
    with pytest.raises(TargetsFailed) as caught:
        run_inline(jobtree.command("echo half; false | cat; true", stdout=tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert caught.value.failures[0].cause is Cause.EXIT


def test_a_program_in_a_list_needs_no_shell_and_takes_promises(tmp_path: Path) -> None:
    @jobtree.target
    def parent(target: Target[Any]) -> Any:
        word = target.add_child(say("$HOME; two words"))
        return target.set_follow_on(jobtree.command(["printf", "%s|%s|%s", word, tmp_path, 3], stdout=tmp_path / "out"))

    run_inline(parent())
    assert (tmp_path / "out").read_text() == f"$HOME; two words|{tmp_path}|3"


def test_a_program_reads_nothing_unless_told_to_and_sees_the_environment_given(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("input")
    command = 'cat; echo "$WORD"'
    run_inline(jobtree.command(command, stdin="in", stdout="out", cwd=tmp_path, env={"WORD": "given"}))
    assert (tmp_path / "out").read_text() == "inputgiven\n"
    run_inline(jobtree.command(["cat"], stdout=tmp_path / "empty"))
    assert (tmp_path / "empty").read_text() == ""


def test_the_failure_of_a_program_says_why(tmp_path: Path) -> None:
    for command, cause, words in (
        (jobtree.command("exit 3"), Cause.EXIT, "exit status 3"),
        (jobtree.command("kill -9 $$"), Cause.SIGNAL, "signal 9"),
        (jobtree.command("true", outputs=[tmp_path / "missing"]), Cause.EXIT, "did not make"),
        (jobtree.command(["no such program"]), Cause.EXCEPTION, "FileNotFoundError"),
        (jobtree.command("echo $NO_SUCH_VARIABLE"), Cause.EXIT, "exit status"),
    ):
        with pytest.raises(TargetsFailed) as caught:
            run_inline(command)
        assert caught.value.failures[0].cause is cause
        assert words in caught.value.failures[0].message


def test_a_command_is_checked_when_it_is_made() -> None:
    for bad in ("", [], ["echo", None], ["echo", ["x"]]):
        with pytest.raises(UsageError, match="command: "):
            jobtree.command(bad)
    with pytest.raises(UsageError, match="did you mean 'cpus'"):
        jobtree.command("true", cpuss=3)
    assert jobtree.command("sort -n in | uniq > out", cpus=4).cpus == 4
    assert jobtree.command("sort -n in | uniq > out").name == "sort"

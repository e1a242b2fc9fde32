"""The report groups failures by name, cause and place, and shows what the first ones printed."""

from __future__ import annotations

from dataclasses import replace

from jobtree.views.failures import MOST_LINES, grouped, report
from jobtree.views.schema import Failure

PLACE = "sweep.py:88 in load"
ONE = Failure(4711, "align", 1, "exception", "KeyError: 'chr9'", "KeyError", PLACE, "node07", 1, None, "", 1.0, 1.0, 1)


def said(*failures: Failure, **options: object) -> list[str]:
    return list(report(failures, {"align": 5000, "merge": 3}, **options))  # type: ignore[arg-type]


def test_failures_that_look_like_one_are_one_line() -> None:
    memory = replace(ONE, cause="memory", message="3.1 GiB used, 2 GiB asked for", type="", where="")
    failures = [replace(memory, id=n, host="node08" if n < 8 else "node07") for n in range(28)]
    failures += [replace(ONE, id=100 + n) for n in range(3)]
    assert said(*failures, examples=0) == [
        "31 of 5,000 align failed:",
        "  28 memory: 3.1 GiB used, 2 GiB asked for (node07 ×20, node08 ×8), e.g. align:0",
        "   3 exception: KeyError: 'chr9' at sweep.py:88 in load (node07 ×3), e.g. align:100",
    ]


def test_names_come_in_the_order_of_their_first_failure_and_their_largest_group_first() -> None:
    other = replace(ONE, name="merge", where="elsewhere")
    groups = grouped([other, ONE, replace(ONE, where="b"), replace(ONE, id=2, where="b")])
    assert [(group.name, group.where, len(group.failures)) for group in groups] == [
        ("merge", "elsewhere", 1),
        ("align", "b", 2),
        ("align", PLACE, 1),
    ]


def test_the_example_shows_the_users_own_traceback_host_and_last_output() -> None:
    traceback = "Traceback (most recent call last):\n  File \"sweep.py\", line 88, in load\nKeyError: 'chr9'"
    lines = said(replace(ONE, output=f"reading chr9\n{traceback}", attempts=3))
    assert lines[2:] == [
        "",
        "align:4711 on node07, 3 attempts: exception",
        "    reading chr9",
        "    Traceback (most recent call last):",
        '      File "sweep.py", line 88, in load',
        "    KeyError: 'chr9'",
    ]


def test_a_message_that_is_not_in_the_output_is_shown_below_it() -> None:
    assert said(replace(ONE, output="last words", message="killed by signal 9 (SIGKILL)"))[-2:] == [
        "    last words",
        "    killed by signal 9 (SIGKILL)",
    ]


def test_a_long_traceback_loses_its_middle_only() -> None:
    frames = [f"  frame {n}" for n in range(100)]
    output = "\n".join(["Traceback (most recent call last):", *frames, "KeyError: 'chr9'"])
    shown = said(replace(ONE, output=output))[4:]
    assert shown[0] == "    Traceback (most recent call last):"
    assert shown[-1] == "    KeyError: 'chr9'"
    assert len(shown) == MOST_LINES
    assert any("lines ..." in line for line in shown)


def test_too_many_groups_are_summed_up() -> None:
    lines = said(*(replace(ONE, id=n, where=f"line {n}") for n in range(15)), examples=0)
    assert lines[-1] == "  and 5 more in 5 groups"


def test_the_report_ends_with_the_commands_that_come_next() -> None:
    assert said(ONE, tree="/data/T", examples=0)[-3:] == [
        "what it printed: jobtree logs /data/T --target align:4711",
        "step through it: jobtree debug /data/T align:4711",
        "once mended:     jobtree restart /data/T",
    ]


def test_while_the_run_goes_on_the_next_command_is_retry_for_a_restart_would_be_refused() -> None:
    assert said(ONE, tree="/data/T", examples=0, live=True)[-1] == "try it again:    jobtree retry /data/T align:4711"
    memory = replace(ONE, cause="memory")
    assert (
        said(memory, tree="/data/T", examples=0, live=True)[-1]
        == "with more memory: jobtree retry /data/T --cause memory --memory x2"
    )


def test_nothing_in_a_report_takes_hold_of_the_terminal() -> None:
    evil = "\x1b[2J\x07"
    lines = said(replace(ONE, name=evil, message=evil, where=evil, host=evil, output=evil, cause=evil), tree=evil)
    assert not any("\x1b" in line or "\x07" in line for line in lines)


def test_no_failures_no_report() -> None:
    assert said(tree="/data/T") == []

"""Words for people."""

from __future__ import annotations

import io

import pytest

from jobtree.views.words import Table, aligned, columns, duration, escape, plural, show


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("code", [*range(9), *range(10, 32), *range(127, 160), 0x202E, 0x2066, 0xD800])
def test_every_control_character_is_escaped(code: int) -> None:
    shown = escape(f"a{chr(code)}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")


def test_text_of_all_scripts_and_tabs_are_left_as_they_are() -> None:
    text = "naïve\t龍 ñ 🙂"
    assert escape(text) == text


def test_a_table_is_aligned_without_blanks_at_the_end() -> None:
    table = Table(columns("<name", "count", "<why"), [["align", "1,000", ""], ["m", "7", "lost"]])
    assert list(aligned(table)) == ["name   count  why", "align  1,000", "m          7  lost"]


def test_a_terminal_gets_the_same_words_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    parts: list[str | Table] = ["[bold]no markup[/]", Table(columns("<name", "count"), [["[red]align", "1,000"]])]
    plain, terminal = io.StringIO(), Terminal()
    show(parts, plain)
    show(parts, terminal)
    for word in ("[bold]no markup[/]", "name", "count", "[red]align", "1,000"):
        assert word in plain.getvalue()
        assert word in terminal.getvalue()


def test_a_command_that_is_longer_than_a_terminal_is_wide_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    command = f"jobtree restart /a/very/long/path{'/of/directories' * 5}"
    terminal = Terminal()
    show([command], terminal)
    assert command in terminal.getvalue()


def test_counts_and_durations_read_well() -> None:
    assert plural(1, "target") == "1 target"
    assert plural(2000, "retry", "retries") == "2,000 retries"
    assert [duration(seconds) for seconds in (0, 0.00004, 0.0004, 0.0014, 0.123456, 1.74, 65.2, 7300)] == [
        "0s",
        "40µs",
        "400µs",
        "0.001s",
        "0.123s",
        "1.7s",
        "1m5s",
        "2h1m",
    ]

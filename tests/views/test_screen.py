"""The screen of ``top`` fills a terminal of any size, and does what keys ask for."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from jobtree.views.logs import Logs
from jobtree.views.screen import View, screen_of
from jobtree.views.status import status_of
from tests.cli.test_main import OURS
from tests.views.scribe import DEAD, Scribe, whole_run


def busy_run(tree: Path) -> Scribe:
    """A run of many names, one with a hostile name, that was left while targets ran; one has failed."""
    scribe = Scribe(tree, holder=DEAD)
    scribe.begin()
    for number in range(1, 9):
        scribe.join(number, host=f"a-host-with-a-long-name-{number}")
    root = scribe.assign(1)
    children = scribe.create(root, *[f"name{n}" for n in range(40)], "evil\x1b[2J\u202e", "日本語の名前")
    scribe.commit(root, wall=1.0)
    for number, child in enumerate(children[:8], 1):
        attempt = scribe.assign(child, number)
        scribe.print(child, f"name{number}", attempt, f"line {number} \x1b[31m\n".encode())
    scribe.fail(scribe.assign(children[9]), failure={"message": "went\nwrong \x1b[2J", "where": "x.py:1 in f"})
    scribe.close()
    return scribe


def shown(path: str, view: View, width: int, height: int) -> list[str]:
    logs = Logs(path, detail=True)
    view.lines.extend(logs.poll())
    history = logs.history
    return [line.plain for line in screen_of(history, status_of(history, 2e6), view, width, height, 2e6)]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return busy_run(tmp_path_factory.mktemp("busy") / "tree").path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(20, 220), st.integers(5, 70), st.integers(0, 4), st.integers(0, 60))
def test_it_fits_whatever_the_size(busy: str, width: int, height: int, only: int, scroll: int) -> None:
    lines = shown(busy, View(only=only, scroll=scroll), width, height)
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width
    assert "\x1b" not in "".join(lines)


def test_names_stand_below_those_that_create_them(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    lines = shown(str(tmp_path / "tree"), View(only=1), 80, 10)
    assert lines[3].startswith("top ")
    assert lines[4].startswith("  leaf ")
    assert "3 of 3" in lines[4]


def test_keys_choose_filter_scroll_and_stop_time(busy: str) -> None:
    view = View()
    assert all(view.press(key) for key in ("3",))
    assert "1 × name9 exception: wrong \\x1b[2J at x.py:1 in f, e.g. name9:11" in shown(busy, view, 120, 20)[3]
    for key in ("/", *"NAME3", "x", "\x7f", "\r", "1"):
        assert view.press(key)
    names = shown(busy, view, 120, 20)[3:-1]
    assert [line.split()[0] for line in names if line] == ["name3", *(f"name3{n}" for n in range(10))]
    view.press("\x1b")
    view.press("down")
    assert shown(busy, view, 120, 6)[3].startswith("  name9"), "its first line has gone up"
    view.press("p")
    assert view.paused
    assert not view.press("q")


def test_it_runs_in_a_real_terminal_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    tree = whole_run(tmp_path / "tree").path
    terminal = pexpect.spawn(
        sys.executable, ["-m", "jobtree", "top", tree], env={**OURS, "TERM": "xterm"}, dimensions=(24, 80), timeout=60
    )
    terminal.expect("complete")
    terminal.expect("q quit")
    terminal.send("q")
    terminal.expect(r"\x1b\[\?1049l")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0

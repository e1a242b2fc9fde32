"""`jobtree top`: a run on a whole screen."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import UsageError
from .arguments import Parser, tree_of

if TYPE_CHECKING:
    from rich.text import Text

    from ..views.schema import Status

LOOK_SECONDS = 1.0
_KEYS = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[5~": "pageup", "\x1b[6~": "pagedown", "\x1bOA": "up", "\x1bOB": "down"}


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("top", "Show a run on the whole screen: names, workers, failures and the log, while it goes on and after it.")
    parser.add_tree()
    parser.add_argument("--once", action="store_true", help="print one screen and end (also where there is no terminal)")
    given = parser.parse_args(argv)
    tree = tree_of(given.tree)
    if given.once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        _print_once(tree)
        return 0
    with suppress(KeyboardInterrupt):
        _watch(tree)
    return 0


def _print_once(tree: str) -> None:
    from rich.console import Console

    size = shutil.get_terminal_size()
    console = Console(width=size.columns, highlight=False, markup=False, emoji=False)
    screen = _Screen(tree)
    for line in screen.drawn(size.columns, size.lines):
        console.print(line, no_wrap=True, crop=True)


def _watch(tree: str) -> None:
    from rich.console import Console
    from rich.text import Text

    screen = _Screen(tree)
    console = Console(highlight=False, markup=False, emoji=False)
    with console.screen(hide_cursor=True) as drawn, _keys_at_once():
        while True:
            width, height = console.size
            drawn.update(Text("\n").join(screen.drawn(width, height)))
            if not _take_keys(screen):
                return


def _take_keys(screen: _Screen) -> bool:
    """Wait for a key or the next look; False: the reader has had enough."""
    if not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        return True
    typed = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
    if not typed:
        raise UsageError("the keyboard is gone")
    keys = [_KEYS[typed]] if typed in _KEYS else list(typed)
    return all(screen.view.press(key) for key in keys)


@contextmanager
def _keys_at_once() -> Iterator[None]:
    """Keys come without Enter and are not shown."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class _Screen:
    """A tree that is looked at again before each drawing, unless the reader has stopped time."""

    def __init__(self, tree: str) -> None:
        from ..views.logs import Logs
        from ..views.screen import View

        self.view = View()
        self._logs = Logs(tree, detail=True)
        self._logs.skip_old()
        self._looked_at = 0.0
        self._status: Status

    def drawn(self, width: int, height: int) -> list[Text]:
        """The lines of a screen of this size."""
        from ..views.screen import screen_of
        from ..views.status import status_of

        if not self.view.paused or not self._looked_at:
            self.view.lines.extend(self._logs.poll())
            self._looked_at = time.time()
            self._status = status_of(self._logs.history, self._looked_at)
        return screen_of(self._logs.history, self._status, self.view, width, height, self._looked_at)

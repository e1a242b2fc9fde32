"""What an option is, and readers of values: words of a command line, TOML, keywords, a tree's memory.

Each reader takes `(value, what)`, gives the value in its final type, takes that type itself as well, and
raises UsageError with `what` in front of one line that says what would have been right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jobtree.errors import UsageError
from jobtree.resources import parse_size, parse_time

#: What stands before an option's name in a namespace of parsed arguments.
DEST = "jobtree_"

LEVELS = ("OFF", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
OLD_LAUNCHERS = {"singlemachine": "local", "single_machine": "local"}
YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")


class Workers(NamedTuple):
    """How many workers. `least` is None where only N was said, which each launcher reads its own way."""

    least: int | None
    most: int

    def __str__(self) -> str:
        return str(self.most) if self.least is None else f"{self.least}:{self.most}"


class Ports(NamedTuple):
    """The ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"


@dataclass(frozen=True)
class Row:
    """What there is to know of an option besides its name and default.

    `parse(value, what)` takes what may come from a command line, a file, a variable, a keyword or the tree,
    and its own results. `in_layers`: may stand in files and variables. `remembered`: the tree keeps it.
    """

    group: str
    parse: Callable[[Any, str], Any]
    metavar: str
    help: str
    old: str | None
    in_layers: bool
    remembered: bool

    @property
    def is_flag(self) -> bool:
        """Whether it stands on the command line without a value."""
        return self.parse is flag

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given several times, which adds up."""
        return self.parse is words or self.parse is pools


def workers(value: Any, what: str) -> Workers:
    """From "4", "0:20", 4 or (0, 20)."""
    parts = _pair(value)
    least = None if parts[0] is None else _natural(parts[0])
    most = _natural(parts[1])
    if most is None or (parts[0] is not None and (least is None or least > most)):
        raise UsageError(f'{what}: {value!r} is neither a number of workers nor "MIN:MAX" with MIN <= MAX')
    return Workers(least, most)


def ports(value: Any, what: str) -> Ports:
    """From "7000:7100" or (7000, 7100); a single port stands for itself."""
    first, last = _pair(value)
    first = last if first is None else first
    low, high = _natural(first), _natural(last)
    if low is None or high is None or not 1 <= low <= high <= 65535:
        raise UsageError(f'{what}: {value!r} is not a range of ports such as "7000:7100"')
    return Ports(low, high)


def size(value: Any, what: str) -> int:
    """Bytes, more than none."""
    number = _natural(value)  # exact, which old jobTree's "unlimited" of 2^63 - 1 would not be as a float
    number = parse_size(value, what) if number is None else number
    if number == 0:
        raise UsageError(f"{what}: must be more than 0 bytes")
    return number


def time(value: Any, what: str) -> float:
    """Seconds."""
    return parse_time(value, what)


def silence(value: Any, what: str) -> float:
    """Seconds that somebody may be silent: beats have to fit in."""
    seconds = parse_time(value, what)
    if seconds < 1:
        raise UsageError(f"{what}: {value!r} is too short, a busy worker would count as lost; give 1 second or more")
    return seconds


def count(value: Any, what: str) -> int:
    """A whole number, 0 or more."""
    number = _natural(value)
    if number is None:
        raise UsageError(f"{what}: {value!r} is not a whole number of 0 or more")
    return number


def cpus(value: Any, what: str) -> float:
    """A number of cpus; a fraction is allowed."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number > 0 or math.isinf(number):
        raise UsageError(f"{what}: {value!r} is not a number of cpus, more than 0")
    return number


def flag(value: Any, what: str) -> bool:
    """True or False, or the words for them that a variable can hold."""
    word = str(value).lower()
    if word not in YES + NO:
        raise UsageError(f"{what}: {value!r} is neither true nor false")
    return word in YES


def text(value: Any, what: str) -> str:
    """A word or more, not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise UsageError(f"{what}: {value!r} is not a name")
    return value


def path(value: Any, what: str) -> Path:
    """A path; ~ is the home directory."""
    if not isinstance(value, (str, Path)) or str(value) == "" or "\0" in str(value):
        raise UsageError(f"{what}: {value!r} is not a path")
    return Path(value).expanduser()


def words(value: Any, what: str) -> tuple[str, ...]:
    """Words as a shell splits them, of one string or several; a list of words is one already."""
    import shlex

    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise UsageError(f"{what}: {value!r} can't be split into words: {error}") from error
    if not isinstance(value, (tuple, list)) or not all(isinstance(one, (str, tuple, list)) for one in value):
        raise UsageError(f"{what}: {value!r} are no words")
    return tuple(word for one in value for word in ((one,) if isinstance(one, str) else one))


def pools(value: Any, what: str) -> tuple[str, ...]:
    """Further pools, each as a line."""
    from jobtree._pool_words import pools as read

    return read(value, what)


def launcher(value: Any, what: str) -> str:
    """The name of a registered launcher; old jobTree's names are understood."""
    from jobtree.launchers import registry

    name = text(value, what)
    name = OLD_LAUNCHERS.get(name.lower(), name)
    if name not in registry.BUILT_IN and name not in registry.names():
        raise UsageError(f"{what}: there is no launcher {value!r}; known: {', '.join(registry.names())}")
    return name


def level(value: Any, what: str) -> str:
    """One of LEVELS, in any case."""
    return choice(*LEVELS)(str(value).upper(), what)


def choice(*words: str) -> Callable[[Any, str], str]:
    """A reader for one of these words."""

    def read(value: Any, what: str) -> str:
        if value not in words:
            raise UsageError(f"{what}: {value!r} is not one of {', '.join(words)}")
        return str(value)

    return read


def _pair(value: Any) -> tuple[Any, Any]:
    """(A, B) from "A:B" or a pair, (None, B) from anything single."""
    if isinstance(value, str) and ":" in value:
        first, _, last = value.partition(":")
        return first, last
    if isinstance(value, (tuple, list)):
        return (value[0], value[1]) if len(value) == 2 else (None, None)
    return None, value


def _natural(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def amounts(value: Any, what: str) -> dict[str, float]:
    """From "licence=2,connections=10" or a dict."""
    items = (
        value.items() if isinstance(value, dict) else [part.partition("=")[::2] for part in str(value).split(",") if part.strip()]
    )
    found: dict[str, float] = {}
    for name, amount in items:
        try:
            found[str(name).strip()] = float(amount)
        except (TypeError, ValueError):
            raise UsageError(f'{what}: {amount!r} is no amount of {str(name).strip()!r}; give "NAME=AMOUNT,..."') from None
    if not all(name and 0 < amount < math.inf for name, amount in found.items()):
        raise UsageError(f'{what}: {value!r}: each resource needs a name and an amount above 0, as in "licence=2"')
    return found

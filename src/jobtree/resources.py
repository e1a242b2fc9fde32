"""What a target asks for and what a worker has: parsed, written, merged, compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, Self, TypeVar

from jobtree.errors import Cause, UsageError

SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
TIME_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
ALIASES = {"cpu": "cpus", "gpu": "gpus", "time": "expected_time"}

# The most that may be asked for: more than any machine has or anybody means, and safe in 64 bits.
LARGEST_SIZE = 1 << 60
LARGEST_TIME = 1e12
LARGEST_NUMBER = 1_000_000_000
MOST_PROCESSORS = 1_000_000
LONGEST_WORD = 200
MOST_ENTRIES = 100

# Sums of fractions of a cpu such as 0.1 never come out even; half a millionth of a cpu is nobody's.
SLACK = 5e-7

_T = TypeVar("_T")

_SIZE = re.compile(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMGTP]?)(?:i?B)?\s*", re.IGNORECASE)
_TIME_PART = re.compile(r"\s*([0-9.]+(?:e-?[0-9]+)?)\s*(ms|s|m|h|d|)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Requests:
    """All that a target may ask for; None means not said. Made by `Requests.of`, which checks and parses.

    Memory and disk are in bytes, times in seconds. `retry_on` names what may be tried again: causes of death,
    exit statuses and exceptions (as `module.Class`); `resources` are the site's own countable things.
    """

    cpus: float | None = None
    memory: int | None = None
    gpus: float | None = None
    disk: int | None = None
    expected_time: float | None = None
    time_limit: float | None = None
    resources: Mapping[str, float] | None = None
    retries: int | None = None
    retry_on: tuple[str | int, ...] | None = None
    priority: int | None = None
    pool: str | None = None
    isolate: bool | None = None
    name: str | None = None

    @classmethod
    def of(cls, **keywords: Any) -> Self:
        """Check, parse and keep `keywords`, which are those of `Target`; None stands for not given.

        Raises UsageError with one line for an unknown keyword or a value that makes no sense.
        """
        given: dict[str, Any] = {}
        for word, value in keywords.items():
            key = ALIASES.get(word, word)
            if key not in _PARSERS:
                raise UsageError(f"unknown request {word!r}{_suggestion(word)}")
            if value is None:
                continue
            if key in given:
                raise UsageError(f"{key!r} is given twice (once as {word!r})")
            given[key] = _PARSERS[key](key, value)
        return cls(**given)

    def over(self, lower: Requests) -> Requests:
        """What is said here, and for the rest what `lower` says (class < instance < `needs`)."""
        if self == NO_REQUESTS:
            return lower
        if lower == NO_REQUESTS:
            return self
        merged = {key: getattr(lower if getattr(self, key) is None else self, key) for key in _PARSERS}
        return Requests(**merged)

    def to_wire(self) -> dict[str, object]:
        """Only what was given, in what msgpack knows; the name travels beside it."""
        wire = {key: getattr(self, key) for key in _PARSERS if key != "name"}
        wire = {key: value for key, value in wire.items() if value is not None}
        if "retry_on" in wire:
            wire["retry_on"] = list(wire["retry_on"])
        if "resources" in wire:
            wire["resources"] = dict(wire["resources"])
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], name: str | None = None) -> Self:
        """The inverse of `to_wire`; checks as `of` does, for what comes over a wire is not to be trusted."""
        return cls.of(**wire, name=name)

    def may_retry(self, cause: Cause, exit_status: int | None = None, exceptions: Iterable[str] = ()) -> bool:
        """Whether such a failure may be tried again; `exceptions` names the class and its bases."""
        if self.retry_on is None:
            return True
        return any(word in self.retry_on for word in (cause.value, exit_status, *exceptions))

    def __hash__(self) -> int:
        return hash((self.name, self.cpus, self.memory, self.expected_time, self.time_limit, self.retry_on))


class Resources:
    """What a worker has, has left, or what a target takes. Mutable and small, for the scheduler."""

    __slots__ = ("cpus", "disk", "gpus", "memory", "named")

    def __init__(
        self,
        cpus: float = 0.0,
        memory: int = 0,
        gpus: float = 0.0,
        disk: int = 0,
        named: Mapping[str, float] | None = None,
    ) -> None:
        self.cpus = cpus
        self.memory = memory
        self.gpus = gpus
        self.disk = disk
        self.named = dict(named) if named else None

    def fits(self, wanted: Resources) -> bool:
        """Whether `wanted` can be taken out of this."""
        if wanted.cpus > self.cpus + SLACK or wanted.memory > self.memory:
            return False
        if wanted.gpus > self.gpus + SLACK or wanted.disk > self.disk:
            return False
        if wanted.named is None:
            return True
        have = self.named or {}
        return all(amount <= have.get(name, 0.0) + SLACK for name, amount in wanted.named.items())

    def subtract(self, other: Resources) -> None:
        """Take `other` out of this, in place; not checked, for that is what `fits` is for."""
        self.cpus -= other.cpus
        self.memory -= other.memory
        self.gpus -= other.gpus
        self.disk -= other.disk
        if other.named is not None:
            self._change_named(other.named, -1)

    def add(self, other: Resources) -> None:
        """Put `other` into this, in place."""
        self.cpus += other.cpus
        self.memory += other.memory
        self.gpus += other.gpus
        self.disk += other.disk
        if other.named is not None:
            self._change_named(other.named, 1)

    def copy(self) -> Resources:
        """An equal one that can be changed apart."""
        return Resources(self.cpus, self.memory, self.gpus, self.disk, self.named)

    def key(self) -> tuple[object, ...]:
        """Equal for equal amounts, and hashable: a shape's identity."""
        named = tuple(sorted(self.named.items())) if self.named else ()
        return self.cpus, self.memory, self.gpus, self.disk, named

    @classmethod
    def wanted_by(cls, requests: Mapping[str, Any], default_cpus: float, default_memory: int) -> Self:
        """What a target with these requests (as on the wire) takes while it runs."""
        return cls(
            requests.get("cpus", default_cpus),
            requests.get("memory", default_memory),
            requests.get("gpus", 0.0),
            requests.get("disk", 0),
            requests.get("resources"),
        )

    def _change_named(self, amounts: Mapping[str, float], sign: int) -> None:
        if self.named is None:
            self.named = {}
        for name, amount in amounts.items():
            self.named[name] = self.named.get(name, 0.0) + sign * amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resources) and self.key() == other.key()

    __hash__ = None  # type: ignore[assignment]  # mutable: use key()

    def __repr__(self) -> str:
        things = [f"{self.cpus:g} cpus", format_size(self.memory)]
        if self.gpus:
            things.append(f"{self.gpus:g} gpus")
        if self.disk:
            things.append(f"{format_size(self.disk)} disk")
        things += [f"{amount:g} {name}" for name, amount in (self.named or {}).items()]
        return f"<{', '.join(things)}>"


def parse_size(value: str | float, what: str = "size") -> int:
    """Bytes from "100M" or "1.5G" (powers of 1024) or a number of bytes; raises UsageError."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        number = _number(match[1]) if match else None
        if match is None or number is None:
            raise UsageError(f'{what}: {value!r} is not a size; write bytes, or for example "100M" or "2G"')
        return _whole(number * SIZE_UNITS[match[2].upper()], what, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f'{what}: {value!r} is not a size; write bytes, or for example "100M" or "2G"')
    return _whole(value, what, value)


def parse_time(value: Any, what: str = "time") -> float:
    """Seconds from "90s", "10m", "1h30m", a number of seconds or a timedelta; raises UsageError."""
    if hasattr(value, "total_seconds"):
        value = value.total_seconds()
    seconds = _seconds_in(value) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds != seconds:
        raise UsageError(f'{what}: {value!r} is not a time; write seconds, or for example "90s" or "10m"')
    if not 0 <= seconds < math.inf:
        raise UsageError(f"{what}: {_shown(value)} must be finite and not negative")
    if seconds > LARGEST_TIME:
        raise UsageError(f"{what}: {_shown(value)} is too long; the most is {LARGEST_TIME:.0f} seconds")
    return float(seconds)


def format_size(size_bytes: float) -> str:
    """Short for people: 1536 is "1.5K"; whole units are read back by parse_size as the same number."""
    sign, rest = ("-", -size_bytes) if size_bytes < 0 else ("", size_bytes)
    unit = ""
    for unit, scale in reversed(SIZE_UNITS.items()):  # noqa: B007  # the loop's end leaves the unit that fits
        if rest >= scale:
            rest /= scale
            break
    return f"{sign}{_short(rest)}{unit}"


def format_time(seconds: float) -> str:
    """Short for people: "0.25s", "1m30s", "2h", "3d4h"; at most two units."""
    if seconds < 0:
        return "-" + format_time(-seconds)
    if seconds < 60:
        return f"{_short(seconds)}s" if seconds >= 0.001 or seconds == 0 else "<1ms"
    whole = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, scale in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if whole >= scale or parts:
            parts.append((whole // scale, unit))
        whole %= scale
    return "".join(f"{count}{unit}" for count, unit in parts[:2] if count)


def _seconds_in(text: str) -> float | None:
    total, at = 0.0, 0
    if not text.strip():
        return None
    while at < len(text):
        part = _TIME_PART.match(text, at)
        number = _number(part[1]) if part else None
        if part is None or number is None:
            return None
        if part[2] == "" and (at > 0 or part.end() < len(text)):
            return None  # "1h30" may be meant as minutes or as seconds
        total += number * TIME_UNITS[part[2].lower()]
        at = part.end()
    return total


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(number: float, what: str, value: object) -> int:
    if not 0 <= number < math.inf:
        raise UsageError(f"{what}: {_shown(value)} must be finite and not negative")
    if number > LARGEST_SIZE:
        raise UsageError(f"{what}: {_shown(value)} is more than a machine can have; the most is {format_size(LARGEST_SIZE)}")
    return math.ceil(number)


def _shown(value: object) -> str:
    """A value that was refused, for the line that says so; Python does not write very long numbers out."""
    try:
        text = repr(value)
    except ValueError:
        return "that number"
    return text if len(text) <= LONGEST_WORD else f"{text[:LONGEST_WORD]}..."


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _size(key: str, value: Any) -> int:
    return parse_size(value, key)


def _time(key: str, value: Any) -> float:
    return parse_time(value, key)


def _positive_time(key: str, value: Any) -> float:
    seconds = parse_time(value, key)
    if seconds == 0:
        raise UsageError(f"{key}: must be more than 0 seconds")
    return seconds


def _amount(key: str, value: Any, most: int = LARGEST_SIZE) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise UsageError(f"{key}: {_shown(value)} is not a number of 0 or more")
    if value > most:
        raise UsageError(f"{key}: {_shown(value)} is too much; the most is {most}")
    return float(value)


def _processors(key: str, value: Any) -> float:
    return _amount(key, value, MOST_PROCESSORS)


def _cpus(key: str, value: Any) -> float:
    cpus = _processors(key, value)
    if cpus == 0:
        raise UsageError(f"{key}: must be more than 0 (a fraction such as 0.1 is allowed)")
    return cpus


def _integer(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{key}: {value!r} is not a whole number")
    if abs(value) > LARGEST_NUMBER:
        raise UsageError(f"{key}: {_shown(value)} is out of reach; the most is {LARGEST_NUMBER}")
    return value


def _count(key: str, value: Any) -> int:
    if _integer(key, value) < 0:
        raise UsageError(f"{key}: {value!r} is negative")
    return int(value)


def _word(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise UsageError(f"{key}: {_shown(value)} is not a name")
    return _not_too_long(key, value)


def _not_too_long(key: str, word: str) -> str:
    if len(word) > LONGEST_WORD:
        raise UsageError(f"{key}: {len(word)} characters are too many for a name; the most is {LONGEST_WORD}: {word[:40]!r}...")
    return word


def _few(key: str, entries: Iterable[_T]) -> list[_T]:
    few = list(islice(entries, MOST_ENTRIES + 1))
    if len(few) > MOST_ENTRIES:
        raise UsageError(f"{key}: more than {MOST_ENTRIES} are too many")
    return few


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{key}: {value!r} is neither True nor False")
    return value


def _named(key: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise UsageError(f'{key}: {value!r} is not a dict such as {{"licence": 1}}')
    return {_word(key, name): _amount(f"{key}[{name!r}]", amount) for name, amount in _few(key, value.items())}


def _retry_on(key: str, value: Any) -> tuple[str | int, ...]:
    one = isinstance(value, (str, int, type)) or not isinstance(value, Iterable)
    return tuple(_retryable(key, item) for item in _few(key, [value] if one else value))


def _retryable(key: str, item: Any) -> str | int:
    if isinstance(item, type) and issubclass(item, BaseException):
        return _not_too_long(key, exception_name(item))
    if isinstance(item, str):
        return _word(key, str(item))
    if isinstance(item, int) and not isinstance(item, bool):
        return _integer(key, item)
    raise UsageError(f"{key}: {item!r} is no exception class, exit status or cause of death")


def exception_name(kind: type[BaseException]) -> str:
    """How an exception is named in `retry_on` on the wire."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _suggestion(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, [*_PARSERS, *ALIASES], 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(_PARSERS)}"


_PARSERS = {
    "cpus": _cpus,
    "memory": _size,
    "gpus": _processors,
    "disk": _size,
    "expected_time": _time,
    "time_limit": _positive_time,
    "resources": _named,
    "retries": _count,
    "retry_on": _retry_on,
    "priority": _integer,
    "pool": _word,
    "isolate": _flag,
    "name": _word,
}
assert list(_PARSERS) == [field.name for field in fields(Requests)]

NO_REQUESTS = Requests()

"""What the targets of a simulated run do: computed from the payload alone, so that the run without faults is known beforehand."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

import msgpack

#: A promise on the wire.
Key = tuple[int, int, int]
#: A target always fails if it fails in this many attempts.
ALWAYS = 1 << 30
#: An attempt that lasts this long (seconds) is ended by its time limit.
FOREVER = 1e6
#: So many targets are enough.
LARGEST = 150
#: The depth of one of many equal children.
LEAF = -1
BROKEN = "failure"


@dataclass(frozen=True, slots=True)
class Taste:
    """What the targets of a run are like: probabilities, and sizes."""

    depth: int = 3
    breadth: int = 4
    follow: float = 0.4
    chain: int = 3  # follow-ons in a row at most
    fan: float = 0.1  # many equal children
    takes: float = 0.2
    after: float = 0.1
    alias: float = 0.2
    embeds: float = 0.1
    tolerant: float = 0.0
    stumbles: float = 0.1  # fails at first, has the retries that it needs
    fails: float = 0.0  # fails for good
    temp: float = 0.15
    blob: float = 0.1
    code: float = 0.1
    slow: float = 0.05  # lasts for tens of seconds
    wide: float = 0.1  # wants several cpus, or much memory
    too_wide: float = 0.0  # wants more than any worker has
    cancels: float = 0.0  # cancels one of its own children
    keep_going: bool = False
    worker_cpus: int = 2


@dataclass(frozen=True, slots=True)
class Spec:
    """A target as its payload tells it. ``path``: "r." is the root, ``/3.`` behind it its third child, ``f`` its follow-on."""

    path: str
    seed: int
    depth: int
    chain: int
    code: str | None = None

    def pack(self, takes: list[Key]) -> bytes:
        """The payload, with the promises that it takes."""
        packed: bytes = msgpack.packb([self.path, self.seed, self.depth, self.chain, self.code, takes])
        return packed


def unpack(data: bytes) -> tuple[Spec, list[Key]]:
    """The target in a payload, and the promises that it takes."""
    *fields, takes = msgpack.unpackb(data, use_list=False)
    return Spec(*fields), list(takes)


@dataclass(slots=True)
class Child:
    """One creation: n is 0 for the follow-on."""

    n: int
    spec: Spec
    form: list[Any]
    takes: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    blob: bool = False


@dataclass(slots=True)
class Plan:
    """What a target does when it runs."""

    children: list[Child] = field(default_factory=list)
    follow: Child | None = None
    result: str = "none"  # none | value | alias | embeds
    names: list[int] = field(default_factory=list)  # n of the promises in the result
    blob: bool = False  # the result is a large one
    seconds: float = 0.0
    stumbles: int = 0  # attempts up to this ordinal fail
    cause: str = "exception"
    temp: bool = False
    cancels: list[int] = field(default_factory=list)  # n of children that it does not want after all


class Recipes:
    """All plans of one run."""

    def __init__(self, taste: Taste, seed: int) -> None:
        self.taste = taste
        self.root = Spec("r.", seed, taste.depth, taste.chain)
        self.plan = lru_cache(maxsize=None)(self._plan)

    def _plan(self, spec: Spec) -> Plan:
        rng = Random(spec.seed)
        taste = self.taste
        form = self.form_of(spec)
        plan = Plan()
        plan.seconds = rng.choice((0.002, 0.01, 0.1, 0.5)) * rng.uniform(0.5, 2)
        if rng.random() < taste.slow:
            plan.seconds = rng.choice((20, 90, 500)) * rng.uniform(0.2, 1)
        self._children(spec, plan, rng)
        if spec.chain and rng.random() < taste.follow:
            follow = Spec(spec.path + "f", _mix(spec.seed, 0), spec.depth, spec.chain - 1, self._code(spec, rng))
            takes = [child.n for child in plan.children if rng.random() < taste.takes]
            plan.follow = Child(0, follow, self.form_of(follow, tolerant=None), takes, [], rng.random() < taste.blob)
        self._result(plan, rng)
        plan.temp = rng.random() < taste.temp
        plan.cancels = [child.n for child in plan.children if rng.random() < taste.cancels]
        retries = form[2].get("retries", 0)
        if form[2].get("time_limit"):
            plan.stumbles, plan.cause, plan.seconds = ALWAYS, "time", FOREVER
        elif form[2].get("never"):
            plan.stumbles = ALWAYS
        elif retries:
            plan.stumbles = rng.randint(0, retries)
        if plan.stumbles and plan.cause != "time":
            plan.cause = rng.choice(("exception", "signal", "exit"))
        return plan

    def _children(self, spec: Spec, plan: Plan, rng: Random) -> None:
        taste = self.taste
        count = rng.randint(0, taste.breadth) if spec.depth > 0 else 0
        fan = count and rng.random() < taste.fan
        if fan:
            count *= 8
        for n in range(1, count + 1):
            depth = LEAF if fan else spec.depth - 1
            child = Spec(f"{spec.path}/{n}.", _mix(spec.seed, n), depth, 0 if fan else taste.chain, self._code(spec, rng))
            made = Child(n, child, self.form_of(child))
            if not fan:
                made.takes = [m for m in range(1, n) if rng.random() < taste.takes]
                made.after = [m for m in range(1, n) if rng.random() < taste.after]
                made.blob = rng.random() < taste.blob
            plan.children.append(made)

    def _code(self, spec: Spec, rng: Random) -> str | None:
        return f"sha{spec.seed % 5}" if rng.random() < self.taste.code else None

    def _result(self, plan: Plan, rng: Random) -> None:
        taste = self.taste
        names = [child.n for child in plan.children] + ([0] if plan.follow else [])
        draw = rng.random()
        if names and draw < taste.alias:
            plan.result, plan.names = "alias", [rng.choice(names)]
        elif names and draw < taste.alias + taste.embeds:
            plan.result, plan.names = "embeds", sorted(rng.sample(names, rng.randint(1, len(names))))
        elif draw < 0.9:
            plan.result = "value"
        plan.blob = plan.result in ("value", "embeds") and rng.random() < taste.blob

    def form_of(self, spec: Spec, tolerant: bool | None = False) -> list[Any]:
        """Name, tolerance and requests of a target; they follow from its seed."""
        if spec.depth == LEAF:
            return ["leaf", None, {}]
        taste = self.taste
        rng = Random(spec.seed ^ 0x5EED)
        requests: dict[str, Any] = {}
        draw = rng.random()
        if draw < taste.stumbles:
            requests["retries"] = rng.randint(1, 2)
        elif draw < taste.stumbles + taste.fails:
            requests["never" if rng.random() < 0.7 else "time_limit"] = 1.0
        draw = rng.random()
        if draw < taste.wide:
            requests["cpus"] = float(rng.choice((0.5, taste.worker_cpus, taste.worker_cpus)))
        elif draw < taste.wide + taste.too_wide:
            requests["cpus"] = taste.worker_cpus + 1.0
        if rng.random() < taste.wide:
            requests["memory"] = rng.choice((1 << 20, 1 << 30, 4 << 30))
        if rng.random() < 0.1:
            requests["priority"] = rng.randint(-2, 2)
        if rng.random() < 0.1:
            requests["isolate"] = True
        if tolerant is not None:
            tolerant = True if rng.random() < taste.tolerant else rng.choice((None, None, None, False))
        return [f"t{spec.seed % 4}", tolerant, requests]


@dataclass(slots=True)
class Expected:
    """What must come of a run."""

    committed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    outcome: str = "complete"
    result: Any = None
    taken: dict[str, list[Any]] = field(default_factory=dict)  # by path: the values that it takes
    waits: dict[str, list[str]] = field(default_factory=dict)  # by path: prefixes of what must have been before it starts
    size: int = 0


class TooLarge(Exception):
    """These targets would be too many for a simulation."""


def foretell(recipes: Recipes) -> Expected:
    """The run without faults, by the shortest way to say what it means; raises TooLarge."""
    expected = Expected()
    ended, value = _chain(recipes, recipes.root, recipes.form_of(recipes.root), [], expected)
    expected.outcome = "complete" if ended else "failed"
    expected.result = value if ended else None
    return expected


def _chain(recipes: Recipes, spec: Spec, form: list[Any], taken: list[Any], expected: Expected) -> tuple[bool, Any]:
    """Whether the chain that ``spec`` founds (or goes on) ends, and the value of its first member's result."""
    expected.taken[spec.path] = taken
    expected.size += 1
    if expected.size > LARGEST:
        raise TooLarge
    plan = recipes.plan(spec)
    if plan.stumbles == ALWAYS or form[2].get("cpus", 0) > recipes.taste.worker_cpus:
        expected.failed.add(spec.path)
        return False, BROKEN
    expected.committed.add(spec.path)
    values: dict[int, Any] = {}
    stuck: set[int] = set()
    for child in plan.children:
        waits = {*child.takes, *child.after}
        if child.n in plan.cancels:
            values[child.n] = BROKEN
            continue
        expected.waits[child.spec.path] = [f"{spec.path}/{n}." for n in sorted(waits)]
        if waits & stuck:
            ended, value = False, BROKEN
        else:
            ended, value = _chain(recipes, child.spec, child.form, [values[n] for n in child.takes], expected)
        if not ended:
            tolerant = child.form[1]
            if tolerant is None:
                tolerant = recipes.taste.keep_going and spec.path.strip("f") == "r."
            if not tolerant:
                stuck.add(child.n)
            value = BROKEN
        values[child.n] = value
    if stuck:
        return False, BROKEN
    if plan.follow is not None:
        expected.waits[plan.follow.spec.path] = [f"{spec.path}/"]
        follow = plan.follow
        ended, values[0] = _chain(recipes, follow.spec, follow.form, [values[n] for n in follow.takes], expected)
        if not ended:
            return False, BROKEN
    return True, value_of(spec, plan, taken, values)


def value_of(spec: Spec, plan: Plan, taken: list[Any], values: dict[int, Any]) -> Any:
    """What a target's promise stands for, when everything that it created is known."""
    if plan.result == "none":
        return None
    if plan.result == "alias":
        return values[plan.names[0]]
    return [spec.path, zlib.crc32(repr(taken).encode()), [values[n] for n in plan.names]]


def returned(spec: Spec, plan: Plan, taken: list[Any], attempt: tuple[int, int]) -> bytes:
    """The bytes of the result that a runner sends, promises in it as such."""
    packed: bytes = msgpack.packb([spec.path, zlib.crc32(repr(taken).encode()), [[*attempt, n] for n in plan.names]])
    return packed


def resolve(data: bytes, value: Callable[[Key], Any]) -> Any:
    """A result with the values of the promises in it."""
    path, digest, keys = msgpack.unpackb(data, use_list=False)
    return [path, digest, [value(key) for key in keys]]


def _mix(seed: int, n: int) -> int:
    return zlib.crc32(f"{seed}:{n}".encode())

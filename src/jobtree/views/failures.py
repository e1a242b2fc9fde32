"""The report of what has failed, grouped by name, cause and place in the user's code; for the end of a run and for ``status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import Cause
from .schema import Failure
from .words import escape, plural

#: Groups of one name that are shown.
MOST_GROUPS = 10
#: Lines of an example's output.
MOST_LINES = 30
_HOSTS = 3
_MESSAGE = 200
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(slots=True)
class Group:
    """Failures that look like one: same name, cause, class of exception and place."""

    name: str
    cause: str
    where: str
    failures: list[Failure] = field(default_factory=list)

    @property
    def first(self) -> Failure:
        """The one that stands for all."""
        return self.failures[0]


def grouped(failures: Sequence[Failure]) -> list[Group]:
    """The groups, by name in the order of their first failure, the largest group of a name first."""
    groups: dict[tuple[str, str, str, str], Group] = {}
    names: dict[str, int] = {}
    for failure in failures:
        names.setdefault(failure.name, len(names))
        key = (failure.name, failure.cause, failure.type, failure.where)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(failure.name, failure.cause, failure.where)
        group.failures.append(failure)
    return sorted(groups.values(), key=lambda group: (names[group.name], -len(group.failures)))


def report(
    failures: Sequence[Failure], totals: Mapping[str, int], *, tree: str | None = None, examples: int = 1, live: bool = False
) -> Iterator[str]:
    """The report, line by line, free of anything that could take hold of a terminal.

    ``totals`` says how many targets of each name there are. Of the first ``examples`` groups one failure is shown with the
    traceback and the last lines that it printed. With ``tree`` it ends with the commands that come next,
    other ones while the run is ``live``.
    """
    groups = grouped(failures)
    counts = Counter(failure.name for failure in failures)
    for name, count in counts.items():
        of = f" of {totals[name]:,}" if totals.get(name, 0) > count else ""
        yield f"{count:,}{of} {escape(name)} failed:"
        mine = [group for group in groups if group.name == name]
        width = max(len(f"{len(group.failures):,}") for group in mine)
        for group in mine[:MOST_GROUPS]:
            yield f"  {len(group.failures):>{width},} {_sentence(group)}"
        if len(mine) > MOST_GROUPS:
            rest = sum(len(group.failures) for group in mine[MOST_GROUPS:])
            yield f"  and {rest:,} more in {plural(len(mine) - MOST_GROUPS, 'group')}"
    for group in groups[:examples]:
        yield ""
        yield from example(group.first)
    if tree is not None and failures:
        yield ""
        yield from _commands(failures, escape(tree), live)


def _commands(failures: Sequence[Failure], tree: str, live: bool) -> Iterator[str]:
    """What people may want to do next, ready to be copied."""
    first = next((failure for failure in failures if failure.worker), failures[0])
    target = f"{escape(first.name)}:{first.id}"
    causes = {failure.cause for failure in failures}
    yield f"what it printed: jobtree logs {tree} --target {target}"
    if first.worker:
        yield f"step through it: jobtree debug {tree} {target}"
    if Cause.MEMORY in causes:
        yield f"with more memory: jobtree retry {tree} --cause memory --memory x2"
    if causes == {Cause.CANCELLED.value}:
        yield f"wanted after all: jobtree retry {tree} --cause cancelled"
    if not live:
        yield f"once mended:     jobtree restart {tree}"
    elif causes.isdisjoint((Cause.MEMORY, Cause.CANCELLED)):
        yield f"try it again:    jobtree retry {tree} {target}"


def _sentence(group: Group) -> str:
    """What has happened, where, on which hosts, and who is an example."""
    first = group.first
    said = f": {_short(first.message)}" if first.message else ""
    where = f" at {escape(group.where)}" if group.where else ""
    return f"{escape(group.cause)}{said}{where}{_hosts(group.failures)}, e.g. {escape(first.name)}:{first.id}"


def _hosts(failures: Sequence[Failure]) -> str:
    """Hosts, where that tells something: more than one failure, or more than one host."""
    counts = Counter(failure.host for failure in failures if failure.host)
    if not counts or len(failures) == 1:
        return ""
    told = [f"{escape(host)} ×{count:,}" for host, count in counts.most_common(_HOSTS)]
    more = f" and {len(counts) - _HOSTS:,} more hosts" if len(counts) > _HOSTS else ""
    return f" ({', '.join(told)}{more})"


def example(failure: Failure) -> Iterator[str]:
    """One failure whole: who, where, why, and the last lines that it printed."""
    on = f" on {escape(failure.host)}" if failure.host else ""
    tries = f", {failure.attempts:,} attempts" if failure.attempts > 1 else ""
    yield f"{escape(failure.name)}:{failure.id}{on}{tries}: {escape(failure.cause)}"
    shown = _telling_lines(failure.output)
    yield from (f"    {escape(line)}" for line in shown)
    if not shown or failure.message.strip().splitlines()[-1:] != [shown[-1].strip()]:
        yield from (f"    {escape(line)}" for line in failure.message.splitlines()[-MOST_LINES:])


def _telling_lines(output: str) -> list[str]:
    """The last lines of the output; of a traceback among them nothing is cut off that matters more than its middle."""
    lines = output.splitlines()
    begins = max((place for place, line in enumerate(lines) if line.startswith(_TRACEBACK)), default=None)
    if begins is None or len(lines) - begins <= MOST_LINES // 2:
        return lines[-MOST_LINES:]
    traceback = lines[begins:]
    if len(traceback) <= MOST_LINES:
        return traceback
    return [*traceback[:5], f"  ... {len(traceback) - MOST_LINES + 1:,} lines ...", *traceback[-(MOST_LINES - 6) :]]


def _short(message: str) -> str:
    """The last line of a message, for a traceback's last line says most."""
    lines = message.strip().splitlines()
    line = escape(lines[-1] if lines else "")
    return line if len(line) <= _MESSAGE else line[: _MESSAGE - 3] + "..."
